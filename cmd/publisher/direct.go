package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher/httpclient"
	"apocryph/publisher/state"
)

// where says which of several apps of one name is meant.
type where struct {
	provider string
	api      apiOptions
}

func (w *where) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.provider, "provider", "", "`PROVIDER` that has the app, where several have one of this name")
	w.api.addPlace(cmd)
}

// direct is an app at a provider's HTTP API, and who asks about it.
type direct struct {
	state.DirectApp
	client *httpclient.Client
	api    apiOptions
}

// use runs what is done with an app, unless finding it ended with an error.
func (d *direct) use(ctx context.Context, err error, do func(context.Context, *direct) error) error {
	if err != nil {
		return err
	}
	defer d.client.Close()
	return do(ctx, d)
}

// over finds an app that was deployed over HTTP: nil where the name is of none, and
// so of an attested provider's. The flags have no effect on one over HTTP.
func (g *globals) over(cmd *cobra.Command, name string, w where, attested ...string) (*direct, error) {
	if w.api.address != "" && w.provider != "" {
		return nil, cli.Usage(cmd, "--provider and --api are two ways to one app, want one of them")
	}
	if err := w.api.check(cmd); err != nil || w.provider != "" {
		return nil, err
	}
	st, err := g.state()
	if err != nil {
		return nil, err
	}
	app, err := g.findDirect(cmd.Context(), st, name, w.api)
	if err != nil || app == nil {
		return nil, err
	}
	for _, flag := range attested {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Value.String() != f.DefValue {
			return nil, cli.Usage(cmd, "--%s has no effect: %s was deployed with --api, and is not attested", flag, name)
		}
	}
	o := w.api
	o.address, o.ca = app.API, cmp.Or(o.ca, app.CA)
	c, _, err := g.apiClient(o)
	if err != nil {
		return nil, err
	}
	d := &direct{DirectApp: *app, client: c, api: o}
	if d.AppID == "" {
		if err := d.ask(cmd.Context()); err != nil {
			c.Close()
			return nil, err
		}
	}
	return d, nil
}

// ask looks for an app that this machine does not remember, as its state may be lost.
func (d *direct) ask(ctx context.Context) error {
	a, err := d.client.AppByName(ctx, d.Namespace, d.Name)
	if err != nil {
		return err
	}
	d.AppID = a.ID
	return nil
}

// findDirect finds what is remembered of an app. With a name that several have it is
// an error that lists them.
func (g *globals) findDirect(ctx context.Context, st *state.State, name string, o apiOptions) (*state.DirectApp, error) {
	if name == "" {
		return nil, nil
	}
	found, err := st.Direct(name)
	if err != nil {
		return nil, err
	}
	if o.address != "" {
		return atAPI(found, name, o)
	}
	if len(found) == 0 {
		return nil, nil
	}
	var places []string
	// One that cannot be read is somebody else's fault, and is not listed.
	apps, _ := st.List(ctx)
	for _, a := range apps {
		if a.Name == name {
			places = append(places, "--provider "+string(a.Provider.ID))
		}
	}
	for _, a := range found {
		places = append(places, placeOf(a))
	}
	if len(places) == 1 {
		return &found[0], nil
	}
	return nil, ambiguous(name, places)
}

func atAPI(found []state.DirectApp, name string, o apiOptions) (*state.DirectApp, error) {
	addr, err := httpclient.ParseAddress(o.address)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(slices.Clone(found), func(a state.DirectApp) bool {
		return a.API != addr.String() || o.namespace != "" && a.Namespace != o.namespace || o.environment != "" && a.Environment != o.environment
	})
	switch {
	case len(found) == 1:
		return &found[0], nil
	case len(found) > 1:
		var places []string
		for _, a := range found {
			places = append(places, placeOf(a))
		}
		return nil, ambiguous(name, places)
	case o.namespace == "":
		return nil, status.New(status.NotFound, "state.not_found", "no app named %s was deployed from here to %s", name, addr).
			WithHint("where it was deployed from another machine, say its --namespace")
	}
	return &state.DirectApp{Name: name, API: addr.String(), Namespace: o.namespace, Environment: cmp.Or(o.environment, "production")}, nil
}

func placeOf(a state.DirectApp) string {
	return fmt.Sprintf("--api %s --namespace %s --environment %s", a.API, a.Namespace, a.Environment)
}

func ambiguous(name string, places []string) error {
	return status.New(status.InvalidArgument, "state.ambiguous", "%s runs at %d places", name, len(places)).
		WithHint("choose one with %s", strings.Join(places, ", or "))
}

// remember writes down where an app is. A deploy is done all the same where that
// cannot be: a CI job may have no place to write.
func (g *globals) remember(ctx context.Context, d *httpclient.Deployment, api httpclient.Address, o apiOptions) {
	if d == nil || d.AppID == "" {
		return
	}
	a := recordOf(d, api.String())
	a.Updated = time.Now()
	if d.Status != "succeeded" {
		a.Revision = 0
	}
	err := func() (err error) {
		if o.ca != "" {
			if a.CA, err = filepath.Abs(o.ca); err != nil {
				return err
			}
		}
		st, err := g.state()
		if err != nil {
			return err
		}
		// What was deployed is to be known also when time is up.
		return st.SaveDirect(context.WithoutCancel(ctx), a)
	}()
	if err != nil {
		fmt.Fprintf(g.app.Stderr, "warning: the app is not remembered on this machine: %s\n", cli.Clean(err.Error()))
	}
}
