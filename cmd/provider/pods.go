package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/problem"
	"apocryph/proto/status"
)

// operatorPod is what the socket answers of a pod, as far as the table shows it.
type operatorPod struct {
	Name      string `json:"name"`
	Publisher string `json:"publisher"`
	Revision  uint64 `json:"revision"`
	State     string `json:"state"`
	Reason    string `json:"reason"`
	Endpoints []struct {
		URL string `json:"url"`
	} `json:"endpoints"`
	Updated time.Time `json:"updated"`
}

func newPods(app *cli.App) *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "pods", Short: "List the pods of the provider that runs on this machine", Args: cli.Args(cobra.NoArgs),
		Example: "  provider pods --data-dir /tmp/p1",
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", defaultDataDir(app), "the provider's data directory")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := app.Settle(cmd, ""); err != nil {
			return err
		}
		raw, err := askSocket(cmd.Context(), filepath.Join(dataDir, "api.sock"))
		if err != nil {
			return err
		}
		var answer struct {
			Pods []json.RawMessage `json:"pods"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("reading the provider's answer: %w", err)
		}
		if app.JSON {
			for _, p := range answer.Pods {
				app.PrintJSON(struct {
					Event string          `json:"event"`
					Pod   json.RawMessage `json:"pod"`
				}{"pod", p})
			}
			app.PrintJSON(map[string]any{"event": "result", "pods": len(answer.Pods)})
			return nil
		}
		return printPods(app, answer.Pods)
	}
	return cmd
}

func printPods(app *cli.App, pods []json.RawMessage) error {
	w := tabwriter.NewWriter(app.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tREV\tSTATE\tUPDATED\tPUBLISHER\tURL")
	for _, raw := range pods {
		var p operatorPod
		if err := json.Unmarshal(raw, &p); err != nil {
			return fmt.Errorf("reading the provider's answer: %w", err)
		}
		url := ""
		if len(p.Endpoints) > 0 {
			url = p.Endpoints[0].URL
		}
		state := p.State
		if p.Reason != "" {
			state += " (" + p.Reason + ")"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", p.Name, p.Revision, state, p.Updated.Format(time.RFC3339), p.Publisher, url)
	}
	return w.Flush()
}

func askSocket(ctx context.Context, socket string) ([]byte, error) {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://provider/pods", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, status.Wrap(err, status.Unavailable, "provider.not_running", "no provider answers on %s", socket).
			WithHint("is it running, and with this --data-dir?")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, problem.Read(resp)
	}
	var raw json.RawMessage
	return raw, json.NewDecoder(resp.Body).Decode(&raw)
}
