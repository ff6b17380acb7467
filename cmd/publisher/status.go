package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

func newStatus(g *globals) *cobra.Command {
	var at where
	var receipt string
	var w watching
	cmd := &cobra.Command{
		Use: "status APP", Short: "Show how an app is doing",
		Long: `Show how an app is doing, by the word of its provider. The verdict is that of the
last deploy, and so is the receipt: what the provider signed with its attested key
about the pod, and what deploy verified.

With --watch the provider is verified now, whenever the verdict expires and after
each interval, and each change is a line: the verdict, the machine's boot, its TPM's
counters, level, platform and measurement, the policy's file, the pod's state and revision. It ends
with exit code 12 when the policy does not affirm the provider any more. A provider
that does not answer is tried again until it does.`,
		Example:           "  publisher status shop\n  publisher status shop --json\n  publisher status shop --watch --interval 5m\n  publisher status shop --receipt shop.receipt",
		ValidArgsFunction: g.completeApps,
	}
	at.add(cmd)
	cmd.Flags().StringVar(&receipt, "receipt", "", "`FILE` to write the receipt of the last deploy to, which must not exist")
	addWatch(cmd, &w)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := w.check(cmd); err != nil {
			return err
		}
		if a, err := g.over(cmd, args[0], at, "watch", "receipt"); a != nil || err != nil {
			return a.use(cmd.Context(), err, g.statusDirect)
		}
		if w.on {
			return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
				app, err := g.locate(ctx, s, args[0], at.provider)
				if err != nil {
					return err
				}
				if err := writeReceipt(app, receipt); err != nil {
					return err
				}
				return g.watch(ctx, s, app, &w)
			})
		}
		return g.at(cmd, args[0], at.provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
			pods, err := s.Pods.PodStatus(ctx, app.Provider.ID, app.Name)
			if err != nil {
				return err
			}
			if len(pods) != 1 {
				return status.New(status.Unavailable, "pod.answer", "the provider answered with %d pods, want 1", len(pods))
			}
			if err := writeReceipt(app, receipt); err != nil {
				return err
			}
			g.setStatus(app, pods[0])
			if g.app.JSON {
				return nil
			}
			return g.printStatus(app, pods[0])
		})
	}
	return cmd
}

// writeReceipt writes the receipt that deploy verified; not that of today,
// which nobody has verified.
func writeReceipt(app publisher.App, path string) error {
	switch {
	case path == "":
		return nil
	case len(app.Receipt) == 0:
		return status.New(status.NotFound, "receipt.missing", "no receipt of %s is kept here", app.Name).
			WithHint("publisher deploy gets one")
	}
	return writeNew(path, append(app.Receipt, '\n'), 0o644)
}

func digestOf(p publisher.PodStatus) string { return "sha256:" + hex.EncodeToString(p.ManifestDigest) }

func (g *globals) setStatus(app publisher.App, p publisher.PodStatus) {
	g.app.Result(statusOf(app, p))
}

type statusContainer struct {
	Name     string `json:"name"`
	Replica  uint32 `json:"replica"`
	State    string `json:"state"`
	Restarts uint32 `json:"restarts"`
	ExitCode int32  `json:"exit_code"`
	ImageID  string `json:"image_id"`
	Reason   string `json:"reason,omitempty"`
}

// statusFields is the object of --json: that of deploy, and how the pod is now.
type statusFields struct {
	appFields
	State      string            `json:"state"`
	Reason     string            `json:"reason"`
	Containers []statusContainer `json:"containers"`
	Created    time.Time         `json:"created"`
	Updated    time.Time         `json:"updated"`
}

func statusOf(app publisher.App, p publisher.PodStatus) statusFields {
	app.PodID, app.Revision, app.ManifestDigest, app.Endpoints = p.PodID, p.Revision, digestOf(p), p.Endpoints
	out := statusFields{fieldsOf(app), p.State, p.Reason, []statusContainer{}, p.Created, p.Updated}
	for _, c := range p.Containers {
		out.Containers = append(out.Containers, statusContainer{c.Name, c.Replica, c.State, c.Restarts, c.ExitCode, c.ImageID, c.Reason})
	}
	return out
}

func (g *globals) printStatus(app publisher.App, p publisher.PodStatus) error {
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, cli.Clean(fmt.Sprintf(format, args...)))
	}
	state := p.State
	if p.Reason != "" {
		state += ": " + p.Reason
	}
	line("app", "%s", app.Name)
	line("state", "%s", state)
	line("revision", "%d", p.Revision)
	line("updated", "%s", p.Updated.Local().Format(time.DateTime))
	for _, e := range p.Endpoints {
		if strings.HasSuffix(e.URL, "//"+e.Dial) {
			line("endpoint", "%s (%s)", e.URL, e.Container)
		} else {
			line("endpoint", "%s (%s, dial %s)", e.URL, e.Container, e.Dial)
		}
	}
	for _, c := range p.Containers {
		text := c.State
		if c.Restarts > 0 {
			text += ", restarted " + cli.Count(int(c.Restarts), "time")
		}
		if c.Reason != "" {
			text += ", " + c.Reason
		}
		line("container", "%s: %s", instance(c.Name, c.Replica), text)
	}
	line("manifest", "%s", digestOf(p))
	for _, i := range app.Images {
		// Of what was deployed from here; another manifest may run by now.
		if i.Commit != "" && app.ManifestDigest == digestOf(p) {
			line("commit", "%s of %s (%s)", i.Commit, i.Repository, i.Container)
		}
	}
	line("provider", "%s", app.Provider.ID)
	if app.Verdict != "" {
		line("verdict", "%s", app.Verdict)
	}
	return w.Flush()
}

// instance names one container of one replica; the first replica goes without saying.
func instance(container string, replica uint32) string {
	if replica == 0 {
		return container
	}
	return fmt.Sprintf("%s[%d]", container, replica)
}
