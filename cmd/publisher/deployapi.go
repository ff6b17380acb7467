package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/httpclient"
	"apocryph/publisher/state"
)

// apiOptions are the flags of a deploy over HTTP.
type apiOptions struct {
	address, ca, namespace, environment string
}

func (o *apiOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.address, "api", "", "`API` of a provider that you trust: https://HOST[:PORT], http:// with a loopback address, or unix:SOCKET")
	addAPICA(cmd, &o.ca)
	f.StringVar(&o.namespace, "namespace", "", "with --api: `NAMESPACE` of the app (default: the token's)")
	f.StringVar(&o.environment, "environment", "", "with --api: `ENVIRONMENT` of the app (default: production)")
}

// addPlace adds the flags that say which app of a name is meant.
func (o *apiOptions) addPlace(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.address, "api", "", "`API` that the app was deployed by, where several have one of this name")
	addAPICA(cmd, &o.ca)
	f.StringVar(&o.namespace, "namespace", "", "with --api: `NAMESPACE` of the app")
	f.StringVar(&o.environment, "environment", "", "with --api: `ENVIRONMENT` of the app")
}

func addAPICA(cmd *cobra.Command, ca *string) {
	cmd.Flags().StringVar(ca, "api-ca", "", "trust the certificates in `FILE` for the API, PEM, instead of the system's")
}

// check refuses flags that have no effect together. A policy is not dropped in
// silence, wherever it and the API come from.
func (o *apiOptions) check(cmd *cobra.Command) error {
	with, without := []string{"provider", "policy", "policy-key", "tee", "payment"}, []string{"api-ca", "namespace", "environment"}
	if o.address != "" {
		for _, name := range with {
			if f := cmd.Flags().Lookup(name); f != nil && f.Value.String() != f.DefValue {
				return cli.Usage(cmd, "--%s has no effect with --api: nobody is attested or chosen", name)
			}
		}
		return nil
	}
	for _, name := range without {
		if cmd.Flags().Changed(name) {
			return cli.Usage(cmd, "--%s has no effect without --api", name)
		}
	}
	return nil
}

func (g *globals) state() (*state.State, error) {
	n, err := g.node()
	if err != nil {
		return nil, err
	}
	return n.State()
}

func newAPIClient(addr httpclient.Address, token, caFile string) (*httpclient.Client, error) {
	cfg := httpclient.Config{Address: addr, Token: token}
	if caFile != "" {
		var err error
		if cfg.CA, err = readFile(caFile, "certificate", "the operator has the ingress's certificate"); err != nil {
			return nil, err
		}
	}
	return httpclient.New(cfg)
}

// apiClient is the client of --api, with the token that there is for it.
func (g *globals) apiClient(o apiOptions) (*httpclient.Client, httpclient.Address, error) {
	addr, err := httpclient.ParseAddress(o.address)
	if err != nil {
		return nil, addr, err
	}
	token := g.app.Getenv(tokenVariable)
	if token == "" {
		st, err := g.state()
		if err != nil {
			return nil, addr, err
		}
		if token, err = st.Token(addr.String()); err != nil {
			return nil, addr, err
		}
	}
	c, err := newAPIClient(addr, token, o.ca)
	return c, addr, err
}

// apiRequest is the manifest and its image, as the API takes them.
func apiRequest(ctx context.Context, o deployOptions, path string, view *apiView) (httpclient.Request, string, error) {
	m, dir, err := readManifest(path)
	if err != nil {
		return httpclient.Request{}, "", err
	}
	c := m.Containers[0]
	ref, req := c.Image.Ref, httpclient.Request{}
	if httpclient.IsUpload(ref) {
		ref = ""
	}
	secrets, err := publisher.ReadSecrets(m, dir)
	if err != nil {
		return req, m.Name, err
	}
	req.Manifest, err = httpclient.Document(m, ref, secrets, httpclient.Place{Namespace: o.api.namespace, Environment: o.api.environment})
	if err != nil {
		return req, m.Name, fmt.Errorf("%s: %w", path, err)
	}
	if c.Name != m.Name {
		view.warn(fmt.Sprintf("the container %s is called %s there, as the app is", c.Name, m.Name))
	}
	view.event(publisher.Event{Event: "resolve", Image: m.Name, Text: c.Image.Ref})
	if ref != "" {
		return req, m.Name, nil
	}
	platform, err := oci.ParsePlatform(o.platform)
	if err != nil {
		return req, m.Name, err
	}
	at, err := oci.ParseReference(c.Image.Ref)
	if err != nil {
		return req, m.Name, err
	}
	img, err := oci.Read(ctx, at, oci.Options{Dir: dir, Platform: platform})
	if err != nil {
		return req, m.Name, err
	}
	f, err := httpclient.ImageFile(img)
	req.Files = []httpclient.File{f}
	return req, m.Name, err
}

func (g *globals) deployAPI(ctx context.Context, o deployOptions, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, errTimeUp)
	defer cancel()
	c, addr, err := g.apiClient(o.api)
	if err != nil {
		return err
	}
	defer c.Close()
	view := newAPIView(g.app, addr.String())
	defer view.close()
	req, name, err := apiRequest(ctx, o, path, view)
	if err != nil {
		return err
	}
	view.image = name
	if o.dryRun {
		p, err := c.Plan(ctx, req, view.api)
		if err == nil {
			view.close()
			g.printPlan(p)
		}
		return err
	}
	d, err := c.Deploy(ctx, req, view.api)
	view.close()
	g.remember(ctx, d, addr, o.api)
	var e *status.Error
	switch {
	case err == nil:
		g.printDirect(d, addr.String())
		return nil
	case errors.Is(context.Cause(ctx), errTimeUp):
		e = status.New(status.DeadlineExceeded, "deploy.timeout", "the deploy of %s was not done after %s; its last step was: %s", name, o.timeout, view.step).
			WithHint("give it longer with --timeout")
	case cli.Interrupted(ctx):
		e = cli.ErrInterrupted()
	default:
		return err
	}
	if d != nil {
		e = e.WithHint("the provider goes on with the deployment %s", d.ID)
	}
	return e
}
