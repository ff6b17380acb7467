package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
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
		raw, err := askSocket(cmd.Context(), o.cfg.APISockets[0], http.MethodGet, "/pods", nil)
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
