package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/publisher/publisherd"
)

// globals are the flags of every command.
type globals struct {
	app                 *cli.App
	cfg                 publisherd.Config
	logLevel, logFormat string
}

func newRoot(app *cli.App) *cobra.Command {
	g := &globals{app: app}
	root := cli.Group(&cobra.Command{
		Use:   "publisher",
		Short: "Deploy containers to attested providers",
		Example: `  publisher init && publisher deploy app.yaml
  publisher attest PROVIDER --explain
  publisher logs -f app`,
	})
	f := root.PersistentFlags()
	f.StringVar(&g.cfg.Home, "home", defaultHome(app), "where state is kept")
	f.StringArrayVar(&g.cfg.Bootstrap, "bootstrap", nil, "multiaddr of a DHT node to join through (repeatable)")
	f.StringVar(&g.cfg.DHTPrefix, "dht-prefix", "/apocryph", "DHT protocol prefix; /ipfs joins the public one")
	f.StringArrayVar(&g.cfg.Listen, "listen", nil, "multiaddr to listen on (repeatable; default: free ports)")
	f.BoolVar(&g.cfg.NoMDNS, "no-mdns", false, "do not look for or answer peers on the local network")
	f.BoolVar(&app.JSON, "json", false, "one JSON object a line on standard output")
	f.StringVar(&g.logLevel, "log-level", "warn", "debug, info, warn or error")
	f.StringVar(&g.logFormat, "log-format", "text", "text or json")
	root.AddCommand(
		newInit(g), newValidate(g), newProviders(g), newAttest(g), newQuote(g), newDeploy(g), newPublish(g),
		newList(g), newStatus(g), newLogs(g), newDelete(g), newPolicy(g), newVersion(g),
	)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return app.Settle(cmd, "") }
	return root
}

func defaultHome(app *cli.App) string {
	if dir := app.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "apocryph")
	}
	if home := app.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "apocryph")
	}
	return ""
}

func (g *globals) node() (*publisherd.Node, error) {
	log, err := cli.NewLogger(g.app.Stderr, g.logLevel, g.logFormat)
	if err != nil {
		return nil, err
	}
	g.cfg.Logger, g.cfg.Version = log, cli.Version()
	return publisherd.New(g.cfg)
}

// online runs use with a node on the network, which serves images if publish is set.
func (g *globals) online(ctx context.Context, publish bool, use func(context.Context, *publisherd.Session) error) error {
	n, err := g.node()
	if err != nil {
		return err
	}
	return n.Do(ctx, publish, use)
}

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cli.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if g.app.JSON {
				g.app.PrintJSON(map[string]string{"event": "result", "version": cli.Version(), "platform": cli.Platform()})
				return nil
			}
			fmt.Fprintf(g.app.Stdout, "publisher %s %s\n", cli.Version(), cli.Platform())
			return nil
		},
	}
}
