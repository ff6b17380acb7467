package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// at runs use for a deployed app, connected to the provider that has it.
func (g *globals) at(cmd *cobra.Command, name, provider string, use func(context.Context, *publisherd.Session, publisher.App) error) error {
	t, err := optionalTarget(provider)
	if err != nil {
		return err
	}
	return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
		var id publisher.ProviderID
		if t != nil {
			id = t.ID
		}
		app, err := s.State.Get(ctx, name, id)
		switch {
		case status.CodeOf(err) == status.NotFound && t != nil:
			// The state of this machine may be lost; the provider knows whose pod it is.
			app = publisher.App{Name: name, Provider: *t}
		case err != nil:
			return err
		case t != nil && len(t.Addrs) > 0:
			app.Provider.Addrs = t.Addrs
		}
		if err := s.Reach(ctx, app.Provider); err != nil {
			return err
		}
		return use(ctx, s, app)
	})
}

func newList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the apps deployed from this machine", Args: cli.Args(cobra.NoArgs),
		Example: "  publisher list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := g.node()
			if err != nil {
				return err
			}
			st, err := n.State()
			if err != nil {
				return err
			}
			// What can be read is shown even if one file cannot.
			apps, listErr := st.List(cmd.Context())
			if g.app.JSON {
				for _, a := range apps {
					out := appJSON(a)
					out["event"] = "app"
					g.app.PrintJSON(out)
				}
				g.app.PrintJSON(map[string]any{"event": "result", "apps": len(apps)})
				return listErr
			}
			w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "APP\tREV\tDEPLOYED\tPROVIDER\tURL")
			for _, a := range apps {
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", a.Name, a.Revision, a.Updated.Local().Format(time.DateTime), a.Provider.ID, a.URL)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return listErr
		},
	}
}

func newStatus(g *globals) *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use: "status APP", Short: "Show how an app is doing", Args: cli.Args(cobra.ExactArgs(1)),
		Example: "  publisher status shop",
	}
	cmd.Flags().StringVar(&provider, "provider", "", "where several providers have the app")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return g.at(cmd, args[0], provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
			pods, err := s.Pods.PodStatus(ctx, app.Provider.ID, app.Name)
			if err != nil {
				return err
			}
			if len(pods) != 1 {
				return status.New(status.Unavailable, "pod.answer", "the provider answered with %d pods, want 1", len(pods))
			}
			return g.printStatus(app, pods[0])
		})
	}
	return cmd
}

func (g *globals) printStatus(app publisher.App, p publisher.PodStatus) error {
	digest := "sha256:" + hex.EncodeToString(p.ManifestDigest)
	if g.app.JSON {
		app.PodID, app.Revision, app.ManifestDigest = p.PodID, p.Revision, digest
		out := appJSON(app)
		type container struct {
			Name     string `json:"name"`
			Replica  uint32 `json:"replica"`
			State    string `json:"state"`
			Restarts uint32 `json:"restarts"`
			ExitCode int32  `json:"exit_code"`
			ImageID  string `json:"image_id"`
			Reason   string `json:"reason,omitempty"`
		}
		containers := []container{}
		for _, c := range p.Containers {
			containers = append(containers, container{c.Name, c.Replica, c.State, c.Restarts, c.ExitCode, c.ImageID, c.Reason})
		}
		out["event"], out["state"], out["reason"], out["containers"] = "result", p.State, p.Reason, containers
		out["created"], out["updated"] = p.Created, p.Updated
		g.app.PrintJSON(out)
		return nil
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	state := p.State
	if p.Reason != "" {
		state += ": " + p.Reason
	}
	fmt.Fprintf(w, "app\t%s\nstate\t%s\nrevision\t%d\nmanifest\t%s\nprovider\t%s\nverdict\t%s\nupdated\t%s\n",
		p.Name, state, p.Revision, digest, app.Provider.ID, app.Verdict, p.Updated.Local().Format(time.DateTime))
	for _, e := range p.Endpoints {
		fmt.Fprintf(w, "endpoint\t%s (%s, dial %s)\n", e.URL, e.Container, e.Dial)
	}
	for _, c := range p.Containers {
		line := c.State
		if c.Restarts > 0 {
			line += fmt.Sprintf(", restarted %d times", c.Restarts)
		}
		if c.Reason != "" {
			line += ", " + c.Reason
		}
		fmt.Fprintf(w, "container\t%s[%d]: %s\n", c.Name, c.Replica, line)
	}
	return w.Flush()
}

func newLogs(g *globals) *cobra.Command {
	var provider, container string
	var follow bool
	var since time.Duration
	var tail uint32
	cmd := &cobra.Command{
		Use: "logs APP", Short: "Show what an app wrote", Args: cli.Args(cobra.ExactArgs(1)),
		Example: "  publisher logs shop --tail 100\n  publisher logs -f shop -c web",
	}
	f := cmd.Flags()
	f.StringVar(&provider, "provider", "", "where several providers have the app")
	f.StringVarP(&container, "container", "c", "", "only this container")
	f.BoolVarP(&follow, "follow", "f", false, "wait for more")
	f.DurationVar(&since, "since", 0, "only lines younger than this, such as 10m")
	f.Uint32Var(&tail, "tail", 0, "only the last lines (0: all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return g.at(cmd, args[0], provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
			q := publisher.LogQuery{Name: app.Name, Container: container, Follow: follow, Tail: tail}
			if since > 0 {
				q.Since = time.Now().Add(-since)
			}
			return s.Pods.FollowLogs(ctx, app.Provider.ID, q, func(l publisher.LogLine) error { return g.printLine(l) })
		})
	}
	return cmd
}

func (g *globals) printLine(l publisher.LogLine) error {
	if g.app.JSON {
		g.app.PrintJSON(map[string]any{"event": "line", "container": l.Container, "replica": l.Replica, "time": l.Time, "stream": l.Stream, "text": string(l.Text)})
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
	_, err := fmt.Fprintf(w, "%s\n", text)
	return err
}

func newDelete(g *globals) *cobra.Command {
	var provider string
	var keepVolumes bool
	cmd := &cobra.Command{
		Use: "delete APP", Short: "Stop an app and remove everything of it", Args: cli.Args(cobra.ExactArgs(1)),
		Example: "  publisher delete shop\n  publisher delete shop --keep-volumes",
	}
	cmd.Flags().StringVar(&provider, "provider", "", "where several providers have the app")
	cmd.Flags().BoolVar(&keepVolumes, "keep-volumes", false, "leave persistent volumes for a later app of the same name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return g.at(cmd, args[0], provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
			err := s.Pods.DeletePod(ctx, app.Provider.ID, app.Name, keepVolumes)
			gone := status.CodeOf(err) == status.NotFound
			if err != nil && !gone {
				return err
			}
			if forgetErr := s.State.Delete(ctx, app.Name, app.Provider.ID); forgetErr != nil && status.CodeOf(forgetErr) != status.NotFound {
				return forgetErr
			}
			if gone {
				// Said, so that a typo is noticed; the state here is cleared all the same.
				return err
			}
			if g.app.JSON {
				g.app.PrintJSON(map[string]any{"event": "result", "app": app.Name, "deleted": true})
				return nil
			}
			fmt.Fprintf(g.app.Stderr, "deleted %s\n", app.Name)
			return nil
		})
	}
	return cmd
}
