package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// readPolicy reads a policy file, or returns the built-in strict one.
func readPolicy(path string) (*policy.Policy, []byte, error) {
	if path == "" {
		return policy.Builtin(), nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, status.Wrap(err, status.InvalidArgument, "policy.read", "reading the policy").
			WithHint("`publisher policy init` writes one")
	}
	p, err := policy.Parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, b, nil
}

// optionalTarget reads --provider.
func optionalTarget(s string) (*publisher.Target, error) {
	if s == "" {
		return nil, nil
	}
	t, err := publisherd.ParseTarget(s)
	return &t, err
}

type deployOptions struct {
	provider, policy, platform, payment string
	timeout                             time.Duration
}

func newDeploy(g *globals) *cobra.Command {
	var o deployOptions
	cmd := &cobra.Command{
		Use: "deploy APP.YAML", Short: "Deploy or update an app; ends when it answers and prints its URL", Args: cli.Args(cobra.ExactArgs(1)),
		Long: `Deploy or update an app. The images are encrypted and put on IPFS, a provider is
attested against the policy, and only then the manifest, its secrets and the
images' keys are sealed to the attested key. Ends when the app answers; its URL
is the last line on standard output.

Without --provider it goes to the app's current provider, else to the cheapest
one found that passes the policy and has the capacity. Without --policy the
built-in one applies, which accepts SEV-SNP and TDX with a pinned measurement.`,
		Example: `  publisher deploy app.yaml --provider /ip4/192.0.2.7/tcp/4021/p2p/12D3… --policy policy.yaml
  publisher deploy app.yaml --policy policy.yaml --json`,
	}
	f := cmd.Flags()
	f.StringVar(&o.provider, "provider", "", "peer id, or multiaddr that ends in /p2p/ID")
	f.StringVar(&o.policy, "policy", "", "policy file (default: the built-in strict one)")
	f.StringVar(&o.platform, "platform", "linux/amd64", "platform of the images")
	f.StringVar(&o.payment, "payment", "none", "payment scheme")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "give up after this long")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runDeploy(cmd.Context(), g, o, args[0]) }
	return cmd
}

func runDeploy(ctx context.Context, g *globals, o deployOptions, path string) error {
	m, dir, err := readManifest(path)
	if err != nil {
		return err
	}
	pol, policyFile, err := readPolicy(o.policy)
	if err != nil {
		return err
	}
	to, err := optionalTarget(o.provider)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	return g.online(ctx, true, func(ctx context.Context, s *publisherd.Session) error {
		release, err := s.State.Lock(m.Name)
		if err != nil {
			return err
		}
		defer release()
		view := newDeployView(g.app)
		d, err := s.Deploy(ctx, publisher.DeployRequest{
			Manifest: m, Dir: dir, Provider: to, Policy: pol, PolicyFile: policyFile,
			Payment: offer.Payment{Scheme: o.payment}, Platform: o.platform, Report: view.event,
		})
		view.close()
		if err != nil {
			return err
		}
		for _, w := range d.Verdict.Warnings {
			fmt.Fprintf(g.app.Stderr, "warning: %s\n", w)
		}
		return g.printDeployed(d)
	})
}

func (g *globals) printDeployed(d *publisher.Deployed) error {
	if g.app.JSON {
		out := appJSON(d.App)
		out["event"], out["verdict"] = "result", policy.SummaryLine(d.Verdict)
		if d.Asset != "" {
			out["price_per_hour"], out["asset"] = d.PricePerHour, d.Asset
		}
		g.app.PrintJSON(out)
		return nil
	}
	fmt.Fprintln(g.app.Stdout, d.App.URL)
	return nil
}

// appJSON is what deploy and status say of an app in common.
func appJSON(a publisher.App) map[string]any {
	type image struct {
		Container string `json:"container"`
		CID       string `json:"cid"`
		ImageID   string `json:"image_id"`
	}
	images := []image{}
	for _, i := range a.Images {
		images = append(images, image{i.Container, i.CID, i.ImageID})
	}
	return map[string]any{
		"app": a.Name, "pod_id": a.PodID, "revision": a.Revision, "provider": a.Provider.ID,
		"images": images, "manifest_digest": a.ManifestDigest, "verdict": a.Verdict, "url": a.URL,
	}
}

// deployView shows a deploy as it happens.
type deployView struct {
	app   *cli.App
	bars  *cli.Progress
	last  time.Time
	stage string
}

func newDeployView(app *cli.App) *deployView {
	return &deployView{app: app, bars: cli.NewProgress(app.Stderr)}
}

func (v *deployView) close() { v.bars.Close() }

// jsonInterval is the least time between two lines of --json for one step's bytes.
const jsonInterval = 250 * time.Millisecond

func (v *deployView) event(e publisher.Event) {
	if v.app.JSON {
		bytesOnly := e.Total > 0 && !e.Final
		if bytesOnly && time.Since(v.last) < jsonInterval {
			return
		}
		if bytesOnly {
			v.last = time.Now()
		}
		v.app.PrintJSON(e)
	}
	switch e.Event {
	case "resolve":
		v.bars.Line("image     %s: %s", e.Image, e.Text)
	case "seal":
		step := "encrypt   " + e.Image
		if !e.Final {
			v.bars.Bytes(step, e.Done, e.Total)
			return
		}
		v.bars.End(step)
		v.bars.Line("encrypted %s: %s", e.Image, e.Text)
	case "find":
		v.bars.Line("find      %s", e.Text)
	case "attest":
		v.bars.Line("attest    %s", e.Provider)
	case "verdict":
		v.bars.Line("verdict   %s", e.Text)
	case "quote":
		v.bars.Line("price     %s", e.Text)
	case "publish":
		v.bars.Line("publish   %s: %s", e.Image, e.Text)
	case "provision":
		v.provision(e)
	case "answer":
		v.bars.Line("answer    %s", e.Text)
	}
}

func (v *deployView) provision(e publisher.Event) {
	step := "provider  " + e.Stage
	if e.Stage != v.stage && v.stage != "" {
		v.bars.End("provider  " + v.stage)
	}
	if e.Total > 0 {
		v.bars.Bytes(step, e.Done, e.Total)
	} else if e.Stage != v.stage {
		v.bars.Line("%s", strings.TrimSpace(step))
	}
	v.stage = e.Stage
}
