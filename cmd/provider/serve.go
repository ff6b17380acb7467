package main

import (
	"context"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/provider/providerd"
)

func newServe(app *cli.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the provider until SIGTERM or SIGINT",
		Long: `Run the provider until SIGTERM or SIGINT; a second signal ends it at once.
Pods go on running when it stops and are found again when it starts.

Every flag is also a variable (--data-dir is APOCRYPH_DATA_DIR) and a key of the
file that --config names. A flag counts before the variable, the variable before
the file. When the provider serves, DATA_DIR/provider.json has its addresses.`,
		Example: `  provider serve --tee tpm2 --config /etc/apocryph/provider.yaml
  provider serve --tee soft --data-dir /tmp/p1 --listen /ip4/127.0.0.1/tcp/0
  APOCRYPH_PRICES=prices.yaml provider serve --tee tpm2`,
	}
	o.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		node, err := o.node(cmd, app)
		if err != nil {
			return err
		}
		return cli.Served(cmd.Context(), run(cmd.Context(), app, node))
	}
	return cmd
}

// run runs a node; with --json it says when it serves.
func run(ctx context.Context, app *cli.App, node *providerd.Node) error {
	app.Result(struct{}{}) // where it is stopped before it serves
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-node.Ready():
	}
	info := node.Info()
	if app.JSON {
		app.Emit("ready", info)
	}
	app.Result(struct {
		PeerID string `json:"peer_id"`
	}{info.PeerID})
	return <-done
}
