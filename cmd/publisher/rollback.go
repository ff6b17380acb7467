package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

type rollbackOptions struct {
	where
	policy, policyKey string
	to                uint64
	timeout           time.Duration
}

func newRollback(g *globals) *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use: "rollback APP [REV]", Short: "Bring an earlier revision of an app back",
		Long: `Bring an earlier revision of an app back: the same manifest, images and secrets,
which its provider still has, as a new revision. It starts beside the one that
serves, which goes on until the new one is healthy, or if that does not come up.
Without REV it is the newest earlier revision that came up.

The provider is attested first, against the policy of the last deploy: secrets of
that revision are used again. Nothing is uploaded. What is not remembered on this
machine, such as a revision that was deployed from another one, is a warning.`,
		Example: `  publisher rollback shop
  publisher rollback shop 7 --timeout 2m
  publisher rollback shop --policy policy.yaml --json`,
		ValidArgsFunction: g.completeRevisions,
	}
	f := cmd.Flags()
	o.where.add(cmd)
	f.StringVar(&o.policy, "policy", "", "policy `FILE` (default: that of the last deploy)")
	cli.CompleteYAML(cmd, "policy")
	addPolicyKey(cmd, &o.policyKey)
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "give up after this `DURATION`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case o.timeout <= 0:
			return cli.Usage(cmd, "--timeout is %s, want a duration above 0", o.timeout)
		case o.policyKey != "" && o.policy == "":
			return cli.Usage(cmd, "--policy-key wants --policy")
		}
		if len(args) == 2 {
			var err error
			if o.to, err = strconv.ParseUint(args[1], 10, 64); err != nil || o.to == 0 {
				return cli.Usage(cmd, "REV is %q, want a revision's number; `publisher history %s` lists them", args[1], args[0])
			}
		}
		if a, err := g.over(cmd, args[0], o.where, "policy", "policy-key"); a != nil || err != nil {
			return a.use(cmd.Context(), err, func(ctx context.Context, a *direct) error { return g.rollbackDirect(ctx, a, o) })
		}
		return g.rollback(cmd, o, args[0])
	}
	return cmd
}

// completeRevisions completes an app, then the revisions that were deployed from
// here.
func (g *globals) completeRevisions(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	const only = cobra.ShellCompDirectiveNoFileComp
	if len(args) == 0 {
		return g.completeApps(cmd, args, begun)
	}
	if len(args) > 1 || g.app.Settle(cmd) != nil {
		return nil, only
	}
	apps, _, _ := g.apps(cmd.Context()) // what can be read is completed
	var out []string
	for _, a := range apps {
		for _, r := range a.Past {
			if a.Name == args[0] && r.Revision != a.Revision {
				out = append(out, strconv.FormatUint(r.Revision, 10))
			}
		}
	}
	return out, only
}

func (g *globals) rollback(cmd *cobra.Command, o rollbackOptions, name string) error {
	var given *publisher.GivenPolicy
	if o.policy != "" {
		p, err := readGiven(o.policy, o.policyKey)
		if err != nil {
			return err
		}
		given = &p
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout, errTimeUp)
	defer cancel()
	view := newDeployView(g.app)
	cmd.SetContext(ctx)
	err := g.at(cmd, name, o.provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
		release, err := s.State.Lock(app.Name)
		if err != nil {
			return err
		}
		defer release()
		// Another command may have changed it while this one waited or connected.
		if now, err := s.State.Get(ctx, app.Name, app.Provider.ID); err == nil {
			now.Provider = app.Provider
			app = now
		}
		r, err := s.Rollback(ctx, publisher.RollbackRequest{App: app, To: o.to, Policy: given, Report: view.event})
		if err != nil {
			return err
		}
		view.close()
		g.printRolledBack(r)
		return nil
	})
	view.close()
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errTimeUp):
		late := status.New(status.DeadlineExceeded, "rollback.timeout", "the rollback of %s was not done after %s; its last step was: %s", name, o.timeout, view.step).
			WithHint("give it longer with --timeout")
		return view.ended(late, name)
	case cli.Interrupted(ctx):
		return view.ended(cli.ErrInterrupted(), name)
	}
	return err
}

func (g *globals) printRolledBack(r *publisher.RolledBack) {
	warnings := append(append([]string{}, r.Verdict.Warnings...), r.Unproven...)
	for _, w := range warnings {
		fmt.Fprintf(g.app.Stderr, "warning: %s\n", cli.Clean(w))
	}
	fields := fieldsOf(r.App)
	fields.Verdict = policy.SummaryLine(r.Verdict)
	g.app.Result(struct {
		appFields
		Replaced uint64   `json:"replaced"`
		Warnings []string `json:"warnings"`
	}{fields, r.Replaced, warnings})
	if !g.app.JSON {
		fmt.Fprintln(g.app.Stdout, cli.Clean(r.App.URL))
	}
}
