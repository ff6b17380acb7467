package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

func newLogs(g *globals) *cobra.Command {
	var w where
	var container string
	var follow bool
	var since time.Duration
	var tail uint32
	cmd := &cobra.Command{
		Use: "logs APP", Short: "Show what an app wrote",
		Long: `Show what an app wrote: its standard output on standard output, its standard error
on standard error. With several containers each line begins with its container.

While -f follows, the provider is verified again whenever its verdict expires,
against the policy of the last deploy, where there was one from here. Exit code 12
when it is not affirmed any more.`,
		Example:           "  publisher logs shop --tail 100\n  publisher logs -f shop -c web\n  publisher logs shop --since 10m --json",
		ValidArgsFunction: g.completeApps,
	}
	f := cmd.Flags()
	w.add(cmd)
	f.StringVarP(&container, "container", "c", "", "only this `CONTAINER`")
	f.BoolVarP(&follow, "follow", "f", false, "wait for more")
	f.DurationVar(&since, "since", 0, "only lines younger than this `DURATION`, such as 10m")
	f.Uint32Var(&tail, "tail", 0, "only the last `LINES` (default: all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if since < 0 {
			return cli.Usage(cmd, "--since is %s, want a duration that is not negative", since)
		}
		q := publisher.LogQuery{Container: container, Follow: follow, Tail: tail}
		if since > 0 {
			q.Since = time.Now().Add(-since)
		}
		if a, err := g.over(cmd, args[0], w); a != nil || err != nil {
			return a.use(cmd.Context(), err, func(ctx context.Context, a *direct) error { return g.logsDirect(ctx, a, q) })
		}
		return g.at(cmd, args[0], w.provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
			q.Name = app.Name
			prefix, lines := container == "" && len(app.Images) > 1, 0
			err := s.FollowLogs(ctx, app, q, func(l publisher.LogLine) error {
				lines++
				return g.printLine(l, prefix)
			})
			g.printedLines(app.Name, lines)
			return err
		})
	}
	return cmd
}

func (g *globals) printedLines(app string, lines int) {
	g.app.Result(struct {
		App   string `json:"app"`
		Lines int    `json:"lines"`
	}{app, lines})
}

// printLine writes a line as the app did, except that on a terminal it can do
// nothing but be read.
func (g *globals) printLine(l publisher.LogLine, prefix bool) error {
	if g.app.JSON {
		g.app.Emit("line", struct {
			Container string    `json:"container"`
			Replica   uint32    `json:"replica"`
			Time      time.Time `json:"time"`
			Stream    string    `json:"stream"`
			Text      string    `json:"text"`
		}{l.Container, l.Replica, l.Time, l.Stream, string(l.Text)})
		return nil
	}
	w := g.app.Stdout
	if l.Stream == "stderr" {
		w = g.app.Stderr
	}
	text := l.Text
	if cli.IsTerminal(w) {
		text = cli.Harmless(text)
	}
	var err error
	if prefix || l.Replica > 0 {
		_, err = fmt.Fprintf(w, "%s: %s\n", cli.Clean(instance(l.Container, l.Replica)), text)
	} else {
		_, err = fmt.Fprintf(w, "%s\n", text)
	}
	return err
}
