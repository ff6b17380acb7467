package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/provider/providerd"
)

func newRoot(app *cli.App) *cobra.Command {
	root := cli.Group(&cobra.Command{
		Use:   "provider",
		Short: "Run pods of publishers, and prove which software handles them",
		Example: `  provider serve --tee soft --data-dir /tmp/p1        # development, proves nothing
  provider serve --tee tpm2 --prices prices.yaml
  provider doctor`,
	})
	root.PersistentFlags().BoolVar(&app.JSON, "json", false, "one JSON object a line on standard output")
	root.AddCommand(newServe(app), newConfig(app), newPods(app), newDoctor(app), newVersion(app))
	return root
}

// options are the flags of a node; serve and config share them.
type options struct {
	cfg                 providerd.Config
	file                string
	logLevel, logFormat string
}

func (o *options) add(cmd *cobra.Command, app *cli.App) {
	f := cmd.Flags()
	f.StringVar(&o.file, "config", "", "configuration file (YAML: flag names and values)")
	f.StringVar(&o.cfg.DataDir, "data-dir", defaultDataDir(app), "where all state lives")
	f.StringVar(&o.cfg.TEE, "tee", "auto", "what to attest with: auto, sev-snp, tdx, tpm2, soft (development, NOT SECURE)")
	f.StringVar(&o.cfg.TPM, "tpm", "/dev/tpmrm0", "TPM 2.0: a device or unix:SOCKET")
	f.StringVar(&o.cfg.EKChainFile, "tpm-ek-chain", "", "certificates above the TPM's endorsement key (PEM), if the TPM stores none")
	f.StringArrayVar(&o.cfg.Listen, "listen", []string{
		"/ip4/0.0.0.0/tcp/4021", "/ip4/0.0.0.0/udp/4021/quic-v1", "/ip6/::/tcp/4021", "/ip6/::/udp/4021/quic-v1",
	}, "multiaddr to listen on (repeatable)")
	f.StringArrayVar(&o.cfg.Bootstrap, "bootstrap", nil, "multiaddr of a DHT node to join through (repeatable)")
	f.StringVar(&o.cfg.DHTPrefix, "dht-prefix", "/apocryph", "DHT protocol prefix; /ipfs joins the public one")
	f.StringArrayVar(&o.cfg.Relays, "relay", nil, "multiaddr of a relay to be reached through (repeatable)")
	f.BoolVar(&o.cfg.NoMDNS, "no-mdns", false, "do not look for or answer peers on the local network")
	f.StringVar(&o.cfg.Ingress, "ingress", ":8081", "address of the HTTP ingress")
	f.StringVar(&o.cfg.Ports, "ports", "30000-32767", "range of mapped TCP and UDP ports")
	f.StringVar(&o.cfg.Domain, "domain", "localhost", "parent domain of generated app hosts")
	f.StringArrayVar(&o.cfg.CustomHosts, "allow-host", nil, `hosts that publishers may bring: "*", "*.example.org" or a name (repeatable)`)
	f.StringArrayVar(&o.cfg.API, "api", []string{"127.0.0.1:47080"}, "address of the HTTP API (repeatable)")
	f.StringArrayVar(&o.cfg.APISockets, "api-socket", nil, "unix socket of the HTTP API (repeatable; default DATA_DIR/api.sock)")
	f.StringVar(&o.cfg.PolicyFile, "policy", "", "policy file that this provider's own evidence must pass")
	f.StringVar(&o.cfg.PricesFile, "prices", "", "price list file (default: free)")
	f.StringVar(&o.cfg.Region, "region", "", "region in the advert, your own word")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "", "text or json (default: text on a terminal, else json)")
}

func defaultDataDir(app *cli.App) string {
	if os.Geteuid() == 0 {
		return "/var/lib/apocryph"
	}
	if dir := app.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "apocryph")
	}
	return filepath.Join(app.Getenv("HOME"), ".local", "share", "apocryph")
}

func newServe(app *cli.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the provider until SIGTERM or SIGINT", Args: cli.Args(cobra.NoArgs),
		Long: `Run the provider until SIGTERM or SIGINT; a second signal ends it at once.
Pods go on running when it stops and are found again when it starts.

Every flag is also a variable (--data-dir is APOCRYPH_DATA_DIR) and a key of the
file that --config names. A flag counts before the variable, the variable before
the file. When the provider serves, DATA_DIR/provider.json has its addresses.`,
		Example: `  provider serve --tee soft --data-dir /tmp/p1 --listen /ip4/127.0.0.1/tcp/0
  APOCRYPH_PRICES=prices.yaml provider serve --tee tpm2`,
	}
	o.add(cmd, app)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := app.Settle(cmd, configFile(app, o.file)); err != nil {
			return err
		}
		log, err := cli.NewLogger(app.Stderr, o.logLevel, o.logFormat)
		if err != nil {
			return err
		}
		o.cfg.Logger, o.cfg.Version = log, cli.Version()
		node, err := providerd.New(o.cfg)
		if err != nil {
			return err
		}
		return node.Run(cmd.Context())
	}
	return cmd
}

// configFile is --config, which like every flag has a variable.
func configFile(app *cli.App, flag string) string {
	if flag != "" {
		return flag
	}
	return app.Getenv(cli.EnvName("config"))
}

func newConfig(app *cli.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "config", Short: "Show the effective configuration, as a configuration file", Args: cli.Args(cobra.NoArgs),
		Example: `  provider config --config provider.yaml`,
	}
	o.add(cmd, app)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := app.Settle(cmd, configFile(app, o.file)); err != nil {
			return err
		}
		fmt.Fprint(app.Stdout, cli.Effective(cmd))
		return nil
	}
	return cmd
}

func newVersion(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cli.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if app.JSON {
				app.PrintJSON(map[string]string{"event": "result", "version": cli.Version(), "platform": cli.Platform()})
				return nil
			}
			fmt.Fprintf(app.Stdout, "provider %s %s\n", cli.Version(), cli.Platform())
			return nil
		},
	}
}
