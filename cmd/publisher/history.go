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
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

func newHistory(g *globals) *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use: "history APP", Short: "Show an app's revisions",
		Long: `Show an app's revisions, newest first, by the word of its provider: what each ran,
with @COMMIT where it was built from one and deployed from here,
what became of it, and the last lines of those that failed. A provider keeps the
last 20, and can roll back to the last 5 that came up.`,
		Example:           "  publisher history shop\n  publisher history shop --json",
		ValidArgsFunction: g.completeApps,
	}
	w.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a, err := g.over(cmd, args[0], w); a != nil || err != nil {
			return a.use(cmd.Context(), err, g.historyDirect)
		}
		return g.at(cmd, args[0], w.provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
			revisions, err := s.History(ctx, app)
			if err != nil {
				return err
			}
			return g.printHistory(struct {
				App       string               `json:"app"`
				Provider  publisher.ProviderID `json:"provider"`
				Revisions int                  `json:"revisions"`
			}{app.Name, app.Provider.ID, len(revisions)}, revisions)
		})
	}
	return cmd
}

// revisionFields is one revision in --json.
type revisionFields struct {
	Revision       uint64     `json:"revision"`
	From           uint64     `json:"from,omitempty"`
	At             time.Time  `json:"at"`
	Outcome        string     `json:"outcome"`
	Reason         string     `json:"reason,omitempty"`
	Log            []string   `json:"log,omitempty"`
	ManifestDigest string     `json:"manifest_digest"`
	Images         []appImage `json:"images"`
	Current        bool       `json:"current"`
	Restorable     bool       `json:"restorable"`
}

func revisionOf(r publisher.PodRevision) revisionFields {
	out := revisionFields{
		Revision: r.Revision, From: r.From, At: r.At.UTC(), Outcome: string(r.Outcome), Reason: r.Reason, Log: r.Log,
		ManifestDigest: "sha256:" + hex.EncodeToString(r.ManifestDigest), Images: []appImage{}, Current: r.Current, Restorable: r.Restorable,
	}
	for _, i := range r.Images {
		out.Images = append(out.Images, imageOf(i))
	}
	return out
}

func (g *globals) printHistory(result any, revisions []publisher.PodRevision) error {
	g.app.Result(result)
	if g.app.JSON {
		for _, r := range revisions {
			g.app.Emit("revision", revisionOf(r))
		}
		return nil
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "REV\tWHEN\tOUTCOME\tMANIFEST\tIMAGES\tNOTE")
	for _, r := range revisions {
		var images []string
		for _, i := range r.Images {
			text := i.Container + "=" + short(i.ImageID)
			if i.Commit != "" {
				text += "@" + short(i.Commit)
			}
			images = append(images, text)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Revision, r.At.Local().Format(time.DateTime), cli.OrDash(cli.Clean(string(r.Outcome))),
			cli.OrDash(short(hex.EncodeToString(r.ManifestDigest))), cli.OrDash(cli.Clean(strings.Join(images, " "))), cli.OrDash(cli.Clean(noteOf(r))))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range revisions {
		if len(r.Log) == 0 {
			continue
		}
		fmt.Fprintf(g.app.Stdout, "\nthe last lines of revision %d:\n", r.Revision)
		for _, l := range r.Log {
			fmt.Fprintf(g.app.Stdout, "  %s\n", cli.Clean(l))
		}
	}
	return nil
}

func noteOf(r publisher.PodRevision) string {
	var notes []string
	if r.Current {
		notes = append(notes, "serves")
	}
	if r.From > 0 {
		notes = append(notes, fmt.Sprintf("revision %d again", r.From))
	}
	if r.Restorable {
		notes = append(notes, "can be brought back")
	}
	if r.Reason != "" {
		notes = append(notes, r.Reason)
	}
	return strings.Join(notes, ", ")
}

// short is the first 12 digits of a digest, as docker has it.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(len(digest), 12)]
}
