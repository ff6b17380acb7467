package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest/tlog"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

func newTransparency(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "transparency", Short: "What the providers' transparency logs have shown",
		Long: `What the providers' transparency logs have shown to this publisher. All of this
works without a network: attesting a provider is what asks for its log.`,
		Example: `  publisher transparency show PROVIDER
  publisher transparency export PROVIDER -o proof.json`,
	}
	cmd.AddCommand(newTransparencyShow(g), newTransparencyExport(g), newTransparencyCheck(g))
	return cmd
}

// seenLog opens what is remembered of one provider.
func (g *globals) seenLog(ctx context.Context, arg string) (publisher.ProviderID, publisher.SeenLog, error) {
	t, err := publisherd.ParseTarget(arg)
	if err != nil {
		return "", publisher.SeenLog{}, err
	}
	n, err := g.node()
	if err != nil {
		return "", publisher.SeenLog{}, err
	}
	st, err := n.State()
	if err != nil {
		return "", publisher.SeenLog{}, err
	}
	l, err := st.Logs().Log(ctx, t.ID)
	return t.ID, l, err
}

type seenRelease struct {
	App    string    `json:"app"`
	PodID  string    `json:"pod_id"`
	Number int64     `json:"number"`
	At     time.Time `json:"at"`
}

type seenConflict struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Before string    `json:"before"`
	After  string    `json:"after"`
}

func newTransparencyShow(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show PROVIDER", Short: "Show the last head, conflicts and your releases", Args: cobra.ExactArgs(1),
		Long: `Show the last head of a provider's log that was verified here, heads that
contradict each other, and the releases of keys that you made.`,
		Example: `  publisher transparency show 12D3KooW…`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, l, err := g.seenLog(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if len(l.Last.Note) == 0 {
			return status.New(status.NotFound, "transparency.unseen", "the log of %s was never seen here", id).WithHint("`publisher attest PROVIDER` asks for it")
		}
		h, err := tlog.OpenHead(l.Last.Note, string(id), l.Last.Key)
		if err != nil {
			return err
		}
		out := struct {
			Provider  publisher.ProviderID `json:"provider"`
			Size      int64                `json:"size"`
			Root      string               `json:"root"`
			Signed    time.Time            `json:"signed"`
			Seen      time.Time            `json:"seen"`
			Key       string               `json:"key"`
			Head      string               `json:"head"`
			Conflicts []seenConflict       `json:"conflicts"`
			Releases  []seenRelease        `json:"releases"`
		}{id, h.Size, h.Root.String(), h.Time, l.Seen, hex.EncodeToString(l.Last.Key), string(l.Last.Note), []seenConflict{}, []seenRelease{}}
		w := g.app.Stdout
		if g.app.JSON {
			w = io.Discard
		}
		fmt.Fprintf(w, "%d entries, root %s, signed %s\n", h.Size, h.Root, h.Time.Format(time.RFC3339))
		for _, c := range l.Conflicts {
			out.Conflicts = append(out.Conflicts, seenConflict{c.Reason, c.At, string(c.Before.Note), string(c.After.Note)})
			fmt.Fprintf(w, "CONFLICT at %s: %s\n", c.At.Format(time.RFC3339), cli.Clean(c.Reason))
		}
		for _, r := range l.Releases {
			out.Releases = append(out.Releases, seenRelease{r.App, r.PodID, r.Number, r.At})
			fmt.Fprintf(w, "entry %d: keys of %s, %s\n", r.Number, cli.Clean(r.App), r.At.Format(time.RFC3339))
		}
		g.app.Result(out)
		return nil
	}
	return cmd
}

func newTransparencyExport(g *globals) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "export PROVIDER", Short: "Write the proof that a provider contradicted itself", Args: cobra.ExactArgs(1),
		Long: `Write the proof that a provider has signed two different logs, for others to
check. Two heads of one size are a proof; a log that shrank, or a longer one that
does not go on from the earlier, is kept and shown, and proves nothing to others.`,
		Example: `  publisher transparency export 12D3KooW… -o proof.json`,
	}
	cmd.Flags().StringVarP(&path, "output", "o", "", "`FILE` to write, which must not exist (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, l, err := g.seenLog(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		a, err := l.Accuse(cmd.Context(), id)
		if err != nil {
			return err
		}
		b, err := a.Encode()
		if err != nil {
			return err
		}
		if path == "" && !g.app.JSON {
			_, err := g.app.Stdout.Write(b)
			return err
		}
		if path == "" {
			g.app.Result(a)
			return nil
		}
		if err := writeNew(path, b, 0o644); err != nil {
			return err
		}
		g.app.Result(struct {
			Provider publisher.ProviderID `json:"provider"`
			File     string               `json:"file"`
		}{id, path})
		if !g.app.JSON {
			fmt.Fprintln(g.app.Stdout, path)
		}
		return nil
	}
	return cmd
}

func newTransparencyCheck(g *globals) *cobra.Command {
	var known []string
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check the proof that a provider contradicted itself", Args: cobra.ExactArgs(1),
		Long: `Check a proof that a provider has signed two different logs, without a network.
With --key the heads have to be signed by these receipt keys; without it the keys
are those of the file, and that they are the provider's is the accuser's word.
Exit code 0 when the proof holds.`,
		Example: `  publisher transparency check proof.json
  publisher transparency check proof.json --key 3b6a27bc…`,
	}
	cmd.Flags().StringArrayVar(&known, "key", nil, "receipt key of the provider that you know, `HEX`, repeatable")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		b, err := readFile(args[0], "proof", "`publisher transparency export` writes one")
		if err != nil {
			return err
		}
		a, err := publisher.DecodeAccusation(b)
		if err != nil {
			return err
		}
		var keys []ed25519.PublicKey
		for _, text := range known {
			k, err := hex.DecodeString(text)
			if err != nil || len(k) != ed25519.PublicKeySize {
				return status.New(status.InvalidArgument, "transparency.key", "key: got %.80q, want 64 hex digits", text)
			}
			keys = append(keys, k)
		}
		old, now, err := a.Check(keys...)
		if err != nil {
			return err
		}
		g.app.Result(struct {
			Provider publisher.ProviderID `json:"provider"`
			Proven   bool                 `json:"proven"`
			KeysOf   string               `json:"keys_of"`
			Sizes    [2]int64             `json:"sizes"`
		}{a.Provider, true, map[bool]string{true: "caller", false: "file"}[len(keys) > 0], [2]int64{old.Size, now.Size}})
		if g.app.JSON {
			return nil
		}
		fmt.Fprintf(g.app.Stdout, "proven: %s signed two logs, of %d and %d entries, of which the second does not go on from the first\n", cli.Clean(string(a.Provider)), old.Size, now.Size)
		if len(keys) == 0 {
			fmt.Fprintln(g.app.Stderr, "the keys are those of the file; name the ones that you know with --key")
		}
		return nil
	}
	return cmd
}
