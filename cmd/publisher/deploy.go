package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

type deployOptions struct {
	provider, policy, policyKey, platform, payment string
	timeout                                        time.Duration
	dryRun                                         bool
	api                                            apiOptions
	source                                         sourceOptions
}

func newDeploy(g *globals) *cobra.Command {
	var o deployOptions
	cmd := &cobra.Command{
		Use: "deploy [APP.YAML]", Short: "Deploy or update an app; ends when it answers and prints its URL",
		Long: `Deploy or update an app. The images are encrypted and put on IPFS, a provider is
attested against the policy, and only then the manifest, its secrets and the
images' keys are sealed to the attested key. Ends when the app answers; its URL
is the last line on standard output.

Without --provider it goes to the app's current provider, else to the cheapest
one found that passes the policy and has the capacity. Without --policy the
built-in one applies, which accepts SEV-SNP and TDX with a pinned measurement.
With --tee this machine proves itself to a provider that demands it.

With --dry-run nothing is deployed: the provider is attested and asked what would
change and what it costs. Manifest and secrets are sealed to the attested key for
that, and are not kept; values of environment variables and secrets are never
shown. No image is encrypted or uploaded.

With --git the provider fetches a commit and builds its image, before anything
secret is sent. What it says of the build, signed with its attested key, must be
about this repository, branch and path, and pass the policy's section provenance;
with --signer one of those keys must have signed the commit. Else the exit code is
12, and nothing is deployed. A private repository is opened by the token of
--git-token-file, or of APOCRYPH_GIT_TOKEN: it is sealed to the attested key, sent to
the host that SLUG names alone, and kept in memory until the commit was fetched.

With --api it goes to a provider that you trust, over its HTTP API, as one
container: nothing is attested, and nothing is sealed to an attested key. The
token is what login stored for the address, or APOCRYPH_API_TOKEN.`,
		Example: `  publisher deploy app.yaml --policy policy.yaml
  publisher deploy app.yaml --provider /ip4/192.0.2.7/tcp/4021/p2p/12D3KooW… --policy policy.yaml
  publisher deploy app.yaml --policy policy.yaml --policy-key ed25519:9f3c…
  publisher deploy app.yaml --policy policy.yaml --tee tpm2
  publisher deploy app.yaml --policy policy.yaml --dry-run
  publisher deploy --git gh:owner/shop#main --policy policy.yaml
  publisher deploy --git gh:owner/shop --signer keys.txt --manifest app.yaml --policy policy.yaml
  publisher deploy --git gh:owner/secret --git-token-file ~/.config/git-token --policy policy.yaml
  publisher deploy app.yaml --api https://api.apps.example.org --namespace team
  publisher deploy app.yaml --api unix:/var/lib/apocryph/api.sock
  publisher deploy app.yaml --json --timeout 2m`,
		ValidArgsFunction: cli.YAMLFiles,
	}
	f := cmd.Flags()
	f.StringVar(&o.provider, "provider", "", "`PROVIDER` to deploy to: a peer id, or a multiaddr that ends in /p2p/ID")
	addPolicy(cmd, &o.policy)
	addPolicyKey(cmd, &o.policyKey)
	g.addDevice(cmd)
	f.StringVar(&o.platform, "platform", "linux/amd64", "`OS/ARCHITECTURE` of the images")
	f.StringVar(&o.payment, "payment", "none", "payment `SCHEME`; only none can be paid with in this version")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "give up after this `DURATION`")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would change and what it costs")
	o.api.add(cmd)
	o.source.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.source.check(cmd, args); err != nil {
			return err
		}
		if err := o.api.check(cmd); err != nil {
			return err
		}
		if o.timeout <= 0 {
			return cli.Usage(cmd, "--timeout is %s, want a duration above 0", o.timeout)
		}
		switch o.payment {
		case "none":
		case "evm-channel":
			return status.New(status.Unimplemented, "payment.scheme", "this version cannot pay by %s", o.payment).
				WithHint("choose a provider that is free: `publisher providers --max-price 0`")
		default:
			return cli.Usage(cmd, "--payment is %q, want none or evm-channel", o.payment)
		}
		if o.api.address != "" {
			return g.deployAPI(cmd.Context(), o, args[0])
		}
		if o.source.slug != "" {
			src, m, dir, err := o.source.read()
			if err != nil {
				return err
			}
			if src.Credential, err = o.source.token.readFor(cmd, g, src.Slug); err != nil {
				return err
			}
			return withTokenHint(g.deploy(cmd.Context(), o, m, dir, src), src.Slug, src.Credential)
		}
		m, dir, err := readManifest(args[0])
		if err != nil {
			return err
		}
		return g.deploy(cmd.Context(), o, m, dir, nil)
	}
	return cmd
}

// errTimeUp is the cause of a context that --timeout ended.
var errTimeUp = errors.New("the time of --timeout is over")

// deploy deploys a manifest; src is nil where the provider builds nothing.
func (g *globals) deploy(ctx context.Context, o deployOptions, m *manifest.Manifest, dir string, src *publisher.Source) error {
	given, err := readGiven(o.policy, o.policyKey)
	if err != nil {
		return err
	}
	to, err := optionalTarget(o.provider)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, errTimeUp)
	defer cancel()
	view := newDeployView(g.app)
	err = g.online(ctx, true, func(ctx context.Context, s *publisherd.Session) error {
		req := publisher.DeployRequest{
			Manifest: m, Dir: dir, Source: src, Provider: to, Policy: given.Policy, PolicyFile: given.File,
			PolicySignature: given.Signature, PolicyKey: given.Key,
			Payment: offer.Payment{Scheme: o.payment}, Platform: o.platform, Report: view.event,
		}
		if o.dryRun {
			d, err := s.DryRun(ctx, req)
			if err != nil {
				return err
			}
			view.close()
			return g.printDryRun(d)
		}
		release, err := s.State.Lock(m.Name)
		if err != nil {
			return err
		}
		defer release()
		d, err := s.Deploy(ctx, req)
		if err != nil {
			return err
		}
		view.close()
		g.printDeployed(d)
		return nil
	})
	view.close()
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errTimeUp):
		late := status.New(status.DeadlineExceeded, "deploy.timeout", "the deploy of %s was not done after %s; its last step was: %s", m.Name, o.timeout, view.step).
			WithHint("give it longer with --timeout")
		return view.ended(late, m.Name)
	case cli.Interrupted(ctx):
		return view.ended(cli.ErrInterrupted(), m.Name)
	}
	return withPolicyHint(err, o.policy)
}

func (g *globals) printDeployed(d *publisher.Deployed) {
	warnings := append(append([]string{}, d.Verdict.Warnings...), d.Warnings...)
	for _, w := range warnings {
		fmt.Fprintf(g.app.Stderr, "warning: %s\n", cli.Clean(w))
	}
	if d.Asset == "" {
		d.PricePerHour = "" // free
	}
	fields := fieldsOf(d.App)
	fields.Verdict = policy.SummaryLine(d.Verdict)
	g.app.Result(struct {
		appFields
		PricePerHour string       `json:"price_per_hour,omitempty"`
		Asset        string       `json:"asset,omitempty"`
		Built        *builtFields `json:"built,omitempty"`
		Warnings     []string     `json:"warnings"`
	}{fields, d.PricePerHour, d.Asset, builtOf(d.Built), warnings})
	if !g.app.JSON {
		fmt.Fprintln(g.app.Stdout, cli.Clean(d.App.URL))
	}
}
