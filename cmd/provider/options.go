package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"apocryph/attest/device/collateral"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/provider/providerd"
)

// options are the flags of a node; serve, config and doctor share them.
type options struct {
	cfg                 providerd.Config
	logLevel, logFormat string
}

func (o *options) add(cmd *cobra.Command) {
	f := cmd.Flags()
	addConfig(cmd)
	addDataDir(cmd, &o.cfg.DataDir)
	f.StringVar(&o.cfg.Storage, "storage", "fscrypt", "`KIND` of storage for pods at rest: fscrypt, tmpfs, or none (the disk's owner reads them)")
	f.StringVar(&o.cfg.StorageSize, "storage-size", "", "`BYTES` that the storage may hold, such as 20Gi (default: half of the free disk, a quarter of the memory)")
	f.StringVar(&o.cfg.TEE, "tee", "auto", "`KIND` of evidence: auto, sev-snp, tdx, tpm2, or soft (development, NOT SECURE)")
	f.StringVar(&o.cfg.TPM, "tpm", providerd.AutoTPM, "TPM 2.0 `DEVICE`, unix:SOCKET, none, or auto: /dev/tpmrm0, also beside a confidential machine's reports")
	f.StringVar(&o.cfg.EKChainFile, "tpm-ek-chain", "", "`FILE` of certificates above the TPM's endorsement key (PEM), if the TPM stores none")
	f.StringVar(&o.cfg.TPMBootLog, "tpm-boot-log", "", "`FILE` of the firmware's event log (default: the kernel's; none for unix:SOCKET)")
	f.UintVar(&o.cfg.SEVVMPL, "sev-vmpl", 0, "privilege `LEVEL` that SEV-SNP reports are made for, 0 to 3")
	f.StringVar(&o.cfg.AMDKDS, "amd-kds", collateral.DefaultKDS, "`URL` of AMD's certificates and revocation lists, or off")
	f.StringVar(&o.cfg.IntelPCS, "intel-pcs", collateral.DefaultPCS, "`URL` of Intel's collateral for TDX, or a cache of it, or off")
	f.StringArrayVar(&o.cfg.Listen, "listen", []string{
		"/ip4/0.0.0.0/tcp/4021", "/ip4/0.0.0.0/udp/4021/quic-v1", "/ip6/::/tcp/4021", "/ip6/::/udp/4021/quic-v1",
	}, "`MULTIADDR` to listen on, repeatable (default: TCP and QUIC on 4021, IPv4 and IPv6)")
	f.Lookup("listen").DefValue = "[]"
	f.StringArrayVar(&o.cfg.Bootstrap, "bootstrap", nil, "`MULTIADDR` of a DHT node to join through, repeatable")
	f.StringVar(&o.cfg.DHTPrefix, "dht-prefix", "/apocryph", "DHT protocol `PREFIX`; /ipfs joins the public one")
	f.StringArrayVar(&o.cfg.Relays, "relay", nil, "`MULTIADDR` of a relay to be reached through, repeatable")
	f.BoolVar(&o.cfg.NoMDNS, "no-mdns", false, "do not look for or answer peers on the local network")
	f.StringVar(&o.cfg.Ingress, "ingress", ":8081", "`ADDRESS` of the HTTP ingress")
	f.StringVar(&o.cfg.IngressTLS, "ingress-tls", "", "`ADDRESS` of the HTTPS ingress, whose key is in the provider's evidence; empty means none")
	f.StringVar(&o.cfg.ACME.Directory, "acme-directory", "", "`URL` of the ACME directory whose authority signs for apps' hosts (default: certificates are self-made)")
	f.BoolVar(&o.cfg.ACME.AcceptTerms, "acme-accept-terms", false, "agree to the terms of service of that authority")
	f.StringVar(&o.cfg.ACME.Email, "acme-email", "", "`ADDRESS` that the authority may write to")
	f.StringVar(&o.cfg.ACME.CAFile, "acme-ca", "", "`FILE` of roots (PEM) for the TLS of a private directory (default: the system's)")
	f.StringVar(&o.cfg.Ports, "ports", "30000-32767", "`RANGE` of mapped TCP and UDP ports")
	f.StringVar(&o.cfg.Domain, "domain", "localhost", "parent `DOMAIN` of generated app hosts")
	f.StringArrayVar(&o.cfg.CustomHosts, "allow-host", nil, "`HOST` that publishers may bring: a name, *.example.org, or * for all; repeatable")
	f.StringArrayVar(&o.cfg.API, "api", []string{"127.0.0.1:47080"}, "`ADDRESS` of the HTTP API, repeatable")
	addAPISocket(cmd, &o.cfg.APISockets)
	f.StringVar(&o.cfg.APIAuth.Mode, "api-auth", "tokens", "`WAY` to know callers of the HTTP API: tokens, or none (loopback addresses only, everybody is the operator)")
	f.StringVar(&o.cfg.APIAuth.JWKSURL, "api-jwks", "", "`URL` of the keys of an issuer of JSON web tokens for the API")
	f.StringVar(&o.cfg.APIAuth.Issuer, "api-issuer", "", "`ISSUER` that these tokens must name")
	f.StringVar(&o.cfg.APIAuth.Audience, "api-audience", "", "`AUDIENCE` that these tokens must be for")
	f.StringVar(&o.cfg.APIAuth.HS256SecretFile, "api-hs256-secret-file", "", "`FILE` with a secret that tokens may be signed with (HS256)")
	f.StringArrayVar(&o.cfg.APIOrigins, "api-origin", nil, "`ORIGIN` of web pages whose scripts may call the API, repeatable (default: none)")
	f.StringArrayVar(&o.cfg.ImageRegistries, "image-registry", nil, "`HOST[:PORT]` of a registry that direct deploys may name although it is not public, repeatable")
	addSource(cmd, &o.cfg.Source)
	f.StringVar(&o.cfg.PolicyFile, "policy", "", "policy `FILE` that this provider's own evidence must pass")
	f.StringVar(&o.cfg.PublisherPolicyFile, "require-publisher-evidence", "", "policy `FILE` that a publisher's machine must pass before its apps are taken (default: none)")
	f.StringVar(&o.cfg.PricesFile, "prices", "", "price list `FILE` (default: free)")
	f.StringVar(&o.cfg.Region, "region", "", "`REGION` in the advert, a word of your own")
	f.StringVar(&o.logLevel, "log-level", "info", "`LEVEL` of the log on standard error: debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "", "`FORMAT` of the log: text or json (default: text on a terminal, else json)")
	cli.Complete(cmd, "storage", "fscrypt", "tmpfs", "none")
	cli.Complete(cmd, "api-auth", "tokens", "none")
	cli.Complete(cmd, "tee", "auto", "sev-snp", "tdx", "tpm2", "soft")
	cli.Complete(cmd, "log-level", "debug", "info", "warn", "error")
	cli.Complete(cmd, "log-format", "text", "json")
}

func addConfig(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "configuration `FILE`: YAML, flag names without dashes and their values")
}

func addDataDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "data-dir", "", "`DIR` of all state (default: /var/lib/apocryph as root, else $XDG_DATA_HOME/apocryph)")
}

func addAPISocket(cmd *cobra.Command, sockets *[]string) {
	cmd.Flags().StringArrayVar(sockets, "api-socket", nil, "unix `SOCKET` of the HTTP API, repeatable (default: DATA_DIR/api.sock)")
}

// settled fills in the defaults that depend on the machine and on other flags.
func (o *options) settled(app *cli.App) error {
	if o.cfg.DataDir == "" {
		o.cfg.DataDir = defaultDataDir(os.Geteuid(), app.Getenv)
	}
	if o.cfg.DataDir == "" {
		return status.New(status.InvalidArgument, "provider.data_dir", "there is no directory to keep state in").
			WithHint("set --data-dir, XDG_DATA_HOME or HOME")
	}
	if info, err := os.Stat(o.cfg.DataDir); err == nil && !info.IsDir() {
		return status.New(status.InvalidArgument, "provider.data_dir", "%s is no directory", o.cfg.DataDir).WithHint("choose another --data-dir")
	}
	// The names that such projects are configured by everywhere.
	o.cfg.APIAuth.SupabaseURL, o.cfg.APIAuth.SupabaseKey = app.Getenv("SUPABASE_URL"), app.Getenv("SUPABASE_SERVICE_ROLE_KEY")
	if len(o.cfg.APISockets) == 0 {
		o.cfg.APISockets = []string{filepath.Join(o.cfg.DataDir, "api.sock")}
	}
	return nil
}

// node checks the whole configuration and makes a node that is not started.
func (o *options) node(cmd *cobra.Command, app *cli.App) (*providerd.Node, error) {
	if err := o.settled(app); err != nil {
		return nil, err
	}
	log, err := cli.NewLogger(app.Stderr, o.logLevel, o.logFormat)
	if err != nil {
		return nil, err
	}
	o.cfg.Logger, o.cfg.Version = log, cli.Version()
	node, err := providerd.New(o.cfg)
	return node, cli.Locate(cmd, err)
}

// defaultDataDir is "" where the environment names no place. The XDG base
// directory specification ignores paths that are not absolute.
func defaultDataDir(uid int, getenv func(string) string) string {
	if uid == 0 {
		return "/var/lib/apocryph"
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "apocryph")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "apocryph")
	}
	return ""
}
