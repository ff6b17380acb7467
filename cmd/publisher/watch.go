package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// watching is the flags of status --watch.
type watching struct {
	on                bool
	interval          time.Duration
	policy, policyKey string
}

func addWatch(cmd *cobra.Command, w *watching) {
	f := cmd.Flags()
	f.BoolVar(&w.on, "watch", false, "verify the provider again and again, and show what changes")
	f.DurationVar(&w.interval, "interval", time.Minute, "longest `DURATION` between two verifications with --watch")
	f.StringVar(&w.policy, "policy", "", "policy `FILE` for --watch (default: that of the last deploy)")
	cli.CompleteYAML(cmd, "policy")
	addPolicyKey(cmd, &w.policyKey)
}

// check refuses what makes no sense.
func (w *watching) check(cmd *cobra.Command) error {
	switch {
	case w.interval < time.Second:
		return cli.Usage(cmd, "--interval is %s, want at least 1s", w.interval)
	case !w.on && (cmd.Flags().Changed("interval") || w.policy != "" || w.policyKey != ""):
		return cli.Usage(cmd, "--interval, --policy and --policy-key want --watch")
	case w.policyKey != "" && w.policy == "":
		return cli.Usage(cmd, "--policy-key wants --policy")
	}
	return nil
}

// locate finds an app without reaching its provider, which may be away.
func (g *globals) locate(ctx context.Context, s *publisherd.Session, name, provider string) (publisher.App, error) {
	t, err := optionalTarget(provider)
	if err != nil {
		return publisher.App{}, err
	}
	if t == nil {
		return s.State.Get(ctx, name, "")
	}
	app, err := s.State.Get(ctx, name, t.ID)
	if status.CodeOf(err) == status.NotFound {
		return publisher.App{Name: name, Provider: *t}, nil
	}
	if len(t.Addrs) > 0 {
		app.Provider.Addrs = t.Addrs
	}
	return app, err
}

// watch is status --watch. It ends with an error only.
func (g *globals) watch(ctx context.Context, s *publisherd.Session, app publisher.App, w *watching) error {
	load := func(ctx context.Context) (publisher.GivenPolicy, error) {
		if w.policy == "" {
			return s.LastPolicy(ctx, app.Name)
		}
		return readGiven(w.policy, w.policyKey)
	}
	var failed error
	shown := false
	err := s.Watch(ctx, publisher.WatchRequest{
		App: app, Interval: w.interval, Policy: load,
		Seen: func(a *publisher.Attested, p *publisher.PodStatus) {
			if g.app.JSON {
				g.app.Emit("verdict", newVerdictResult(app.Provider.ID, a.Verdict))
			}
			g.setStatus(app, *p)
			if shown {
				return
			}
			shown = true
			if g.app.JSON {
				g.app.Emit("status", statusOf(app, *p))
				return
			}
			failed = g.printStatus(app, *p)
			g.printVerdict(a.Verdict, false)
		},
		Changed: g.printChange,
	})
	if failed != nil {
		return failed
	}
	return err
}

// printChange writes a change as one line.
func (g *globals) printChange(c publisher.Change) {
	if g.app.JSON {
		g.app.Emit("change", c)
		return
	}
	text := c.What + ": " + c.Now
	switch {
	case c.What == "boot_epoch":
		text = "the machine rebooted: boot epoch " + c.Now
	case c.What == "tpm_counters":
		text = "the TPM's counters: " + c.Now
		if c.Was != "" {
			text += ", was " + c.Was
		}
	case c.What == "reachable":
		text = c.Now
		if c.Was != "" {
			text += ", was " + c.Was
		}
	case c.Was != "":
		text += ", was " + c.Was
	}
	fmt.Fprintf(g.app.Stdout, "%s %s\n", c.At.Local().Format(time.DateTime), cli.Clean(text))
}
