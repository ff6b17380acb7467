package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/problem"
	"apocryph/proto/status"
)

const (
	// socketTimeout bounds one question to the provider on this machine.
	socketTimeout = 30 * time.Second
	// maxAnswer bounds its answer, in bytes; a pod is about a kilobyte.
	maxAnswer = 64 << 20
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
	var o options
	cmd := &cobra.Command{
		Use: "pods", Short: "List the pods of the provider that runs on this machine",
		Long: `List the pods of the provider that runs on this machine, by its socket. The data
directory is found as "provider serve" finds it.`,
		Example: "  provider pods\n  provider pods --data-dir /tmp/p1 --json",
	}
	addConfig(cmd)
	addDataDir(cmd, &o.cfg.DataDir)
	addAPISocket(cmd, &o.cfg.APISockets)
	cli.AllowKeys(cmd, newServe(app))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.settled(app); err != nil {
			return err
		}
		raw, err := askSocket(cmd.Context(), o.cfg.APISockets[0])
		if err != nil {
			return err
		}
		var answer struct {
			Pods []json.RawMessage `json:"pods"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("reading the provider's answer: %w", err)
		}
		app.Result(struct {
			Pods int `json:"pods"`
		}{len(answer.Pods)})
		if !app.JSON {
			return printPods(app, answer.Pods)
		}
		for _, p := range answer.Pods {
			app.Emit("pod", struct {
				Pod json.RawMessage `json:"pod"`
			}{p})
		}
		return nil
	}
	return cmd
}

func printPods(app *cli.App, pods []json.RawMessage) error {
	if len(pods) == 0 {
		fmt.Fprintln(app.Stderr, "no pods")
		return nil
	}
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
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", cli.Clean(p.Name), p.Revision, cli.Clean(state),
			p.Updated.Local().Format(time.DateTime), cli.Clean(p.Publisher), cli.OrDash(cli.Clean(url)))
	}
	return w.Flush()
}

func askSocket(ctx context.Context, socket string) ([]byte, error) {
	client := http.Client{Timeout: socketTimeout, Transport: &http.Transport{
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
		return nil, noAnswer(err, socket)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, problem.Read(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("got more than %d bytes", maxAnswer)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the provider's answer: %w", err)
	}
	return b, nil
}

// noAnswer says what the socket's error means; its own text names a URL that
// nobody typed.
func noAnswer(err error, socket string) error {
	if errors.Is(err, fs.ErrPermission) {
		return status.New(status.PermissionDenied, "provider.socket", "%s may not be used by this user", socket).
			WithHint("run it as the user that runs the provider, usually root")
	}
	why := "it does not answer"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "there is no socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nobody listens"
	case errors.Is(err, context.Canceled):
		return err
	}
	return status.New(status.Unavailable, "provider.not_running", "no provider answers on %s: %s", socket, why).
		WithHint("is it running, and with this --data-dir?")
}
