package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher/publisherd"
)

// globals are the flags of every command.
type globals struct {
	app                 *cli.App
	cfg                 publisherd.Config
	logLevel, logFormat string
}

// The groups of commands in the help.
const (
	groupApps      = "apps"
	groupFiles     = "files"
	groupProviders = "providers"
)

func newRoot(app *cli.App) *cobra.Command {
	g := &globals{app: app}
	root := &cobra.Command{
		Use:   "publisher",
		Short: "Deploy containers to attested providers",
		Long: `Deploy containers to machines that belong to strangers, after proof of the
software that will handle them.

PROVIDER is a peer id, or a multiaddr that ends in /p2p/ID. Every flag is also a
variable: --home is APOCRYPH_HOME. Lists in variables are separated by commas.

Exit codes: 0 done, 1 internal error, 2 usage, 10 invalid argument, 11 not
allowed, 12 untrusted, 13 not found, 14 conflict, 15 exhausted,
16 unimplemented, 17 unavailable, 18 out of time, 19 the app did not come up,
130 interrupted.`,
		Example: `  publisher init                                            # a sample app.yaml
  publisher attest PROVIDER --explain
  publisher policy init --from PROVIDER -o policy.yaml
  publisher deploy app.yaml --provider PROVIDER --policy policy.yaml
  publisher logs -f app`,
	}
	f := root.PersistentFlags()
	f.StringVar(&g.cfg.Home, "home", "", "`DIR` of all state (default: $XDG_STATE_HOME/apocryph)")
	f.StringArrayVar(&g.cfg.Bootstrap, "bootstrap", nil, "`MULTIADDR` of a DHT node to join through, repeatable")
	f.StringVar(&g.cfg.DHTPrefix, "dht-prefix", "/apocryph", "DHT protocol `PREFIX`; /ipfs joins the public one")
	f.StringArrayVar(&g.cfg.Listen, "listen", nil, "`MULTIADDR` to listen on, repeatable (default: free ports)")
	f.BoolVar(&g.cfg.NoMDNS, "no-mdns", false, "do not look for or answer peers on the local network")
	f.StringVar(&g.logLevel, "log-level", "warn", "`LEVEL` of the log on standard error: debug, info, warn or error")
	f.StringVar(&g.logFormat, "log-format", "text", "`FORMAT` of the log: text or json")
	cli.Complete(root, "log-level", "debug", "info", "warn", "error")
	cli.Complete(root, "log-format", "text", "json")

	root.AddGroup(
		&cobra.Group{ID: groupApps, Title: "Apps:"},
		&cobra.Group{ID: groupFiles, Title: "Manifests and images:"},
		&cobra.Group{ID: groupProviders, Title: "Providers and trust:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupApps, newDeploy(g), newUp(g), newList(g), newStatus(g), newLogs(g), newHistory(g), newRollback(g), newDelete(g))
	add(groupFiles, newInit(g), newValidate(g), newPlan(g), newPublish(g))
	add(groupProviders, newProviders(g), newAttest(g), newVerify(g), newQuote(g), newPolicy(g), newTransparency(g), newLogin(g), newLogout(g))
	return app.Root(root)
}

// defaultHome is "" where the environment names no place. The XDG base
// directory specification ignores paths that are not absolute.
func defaultHome(getenv func(string) string) string {
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "apocryph")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "apocryph")
	}
	return ""
}

func (g *globals) node() (*publisherd.Node, error) {
	log, err := cli.NewLogger(g.app.Stderr, g.logLevel, g.logFormat)
	if err != nil {
		return nil, err
	}
	if g.cfg.Home == "" {
		g.cfg.Home = defaultHome(g.app.Getenv)
	}
	if info, err := os.Stat(g.cfg.Home); err == nil && !info.IsDir() {
		return nil, status.New(status.InvalidArgument, "publisher.home", "%s is no directory", g.cfg.Home).WithHint("choose another --home")
	}
	g.cfg.Logger, g.cfg.Version = log, cli.Version()
	g.cfg.Waiting = func() {
		fmt.Fprintln(g.app.Stderr, "waiting for another command that publishes from the same home")
	}
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
