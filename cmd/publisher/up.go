package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest/offer"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// maxJobs bounds the apps that are deployed at once: a provider answers only so many
// calls of one publisher.
const maxJobs = 8

type upOptions struct {
	file, provider, policy, policyKey, signer, platform string
	timeout                                             time.Duration
	jobs                                                int
	dryRun                                              bool
	token                                               gitToken
}

func newUp(g *globals) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use: "up", Short: "Deploy a list of repositories, each built by its provider",
		Long: `Deploy a list of repositories, as deploy --git does each. All are fetched and planned
first, and the plans are shown; the provider has to build the very commit that was
planned. Apps are deployed side by side, and one that fails does not stop the others.
A table at the end says what became of each. The token of --git-token-file, or of
APOCRYPH_GIT_TOKEN, opens private repositories as with deploy; all repositories of the
list have to be of one host then.

The file is a list in YAML or JSON: a slug (gh:OWNER/REPO[#REF], gl:…, git+https://… or
file:///…), or {slug: …, name: …, path: …}. Each app serves HTTP on port 8080, or on
what the variable PORT says.

The exit code is 0 when all apps answer, else that of the failure that matters most:
12 before 11, 10, 19, 14, 13, 16, 15, 18, 17 and 1.`,
		Example: `  publisher up --file repos.yaml --policy policy.yaml
  publisher up --file repos.yaml --policy policy.yaml --signer keys.txt --jobs 2
  publisher up --file private.yaml --policy policy.yaml --git-token-file ~/.config/git-token
  publisher up --file repos.yaml --dry-run`,
	}
	f := cmd.Flags()
	f.StringVar(&o.file, "file", "", "`FILE` of slugs, YAML or JSON")
	f.StringVar(&o.provider, "provider", "", "`PROVIDER` to deploy to: a peer id, or a multiaddr that ends in /p2p/ID")
	addPolicy(cmd, &o.policy)
	addPolicyKey(cmd, &o.policyKey)
	g.addDevice(cmd)
	f.StringVar(&o.signer, "signer", "", "`FILE` of SSH or PGP keys, one of which must have signed each commit")
	o.token.add(cmd)
	f.StringVar(&o.platform, "platform", "linux/amd64", "`OS/ARCHITECTURE` of the images")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "give up on an app after this `DURATION`")
	f.IntVar(&o.jobs, "jobs", 4, "`NUMBER` of apps at once, 1 to 8")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show the plans")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case o.file == "":
			return cli.Usage(cmd, "there is no --file")
		case o.jobs < 1 || o.jobs > maxJobs:
			return cli.Usage(cmd, "--jobs is %d, want 1 to %d", o.jobs, maxJobs)
		case o.timeout <= 0:
			return cli.Usage(cmd, "--timeout is %s, want a duration above 0", o.timeout)
		}
		return g.up(cmd.Context(), o)
	}
	return cmd
}

func (g *globals) up(ctx context.Context, o upOptions) error {
	b, err := readFile(o.file, "list", "it is a list of slugs, such as gh:owner/repo")
	if err != nil {
		return err
	}
	items, err := slug.ParseList(b)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	given, err := readGiven(o.policy, o.policyKey)
	if err != nil {
		return err
	}
	to, err := optionalTarget(o.provider)
	if err != nil {
		return err
	}
	var signers policy.Signers
	if o.signer != "" {
		if signers, err = readSigners(o.signer); err != nil {
			return err
		}
	}
	u := newUpView(g.app, items)
	if u.token, err = o.token.read(g); err != nil {
		return err
	}
	if u.token != nil {
		if err := oneHost(items); err != nil {
			return err
		}
	}
	u.each(ctx, o.jobs, u.plan)
	u.printPlans()
	if o.dryRun {
		return u.end(ctx, true)
	}
	err = g.online(ctx, true, func(ctx context.Context, s *publisherd.Session) error {
		u.each(ctx, o.jobs, func(ctx context.Context, a *upApp) error {
			ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, errTimeUp)
			defer cancel()
			release, err := s.State.Lock(a.name)
			if err != nil {
				return err
			}
			defer release()
			m, _, err := (&sourceOptions{name: a.name, port: appPort}).app(a.item.Slug)
			if err != nil {
				return err
			}
			src := a.source()
			src.Signers, src.Credential = signers, u.tokenFor(a.item.Slug)
			d, err := s.Deploy(ctx, publisher.DeployRequest{
				Manifest: m, Dir: ".", Source: src, Provider: to, Policy: given.Policy, PolicyFile: given.File,
				PolicySignature: given.Signature, PolicyKey: given.Key, Payment: offer.Payment{Scheme: "none"}, Platform: o.platform,
				Report: func(e publisher.Event) { u.event(a, e) },
			})
			if err != nil && errors.Is(context.Cause(ctx), errTimeUp) {
				return status.New(status.DeadlineExceeded, "deploy.timeout", "the deploy of %s was not done after %s", a.name, o.timeout)
			}
			a.deployed = d
			return withPolicyHint(withTokenHint(err, a.item.Slug, src.Credential), o.policy)
		})
		return nil
	})
	// What ended before the network was there has no table.
	if err != nil {
		return err
	}
	return u.end(ctx, false)
}

// each does one step with every app that has not failed, some at once.
func (u *upView) each(ctx context.Context, jobs int, step func(context.Context, *upApp) error) {
	slots := make(chan struct{}, jobs)
	var wg sync.WaitGroup
	for _, a := range u.apps {
		if a.err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if a.err = ctx.Err(); a.err == nil {
				a.err = step(ctx, a)
			}
		})
	}
	wg.Wait()
}
