package providerd

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"

	"apocryph/proto/status"
	"apocryph/provider/auth"
	"apocryph/provider/store"
)

// maxSecretFile bounds a secret's file in bytes, before it is read.
const maxSecretFile = 4 << 10

// faults are those that no file has to be read for. listeners are the API's addresses.
func (a APIAuth) faults(listeners []string) []status.Fault {
	switch a.Mode {
	case "", "tokens":
		return nil
	case "none":
	default:
		return []status.Fault{{Field: "api-auth", Got: fmt.Sprintf("%q", a.Mode), Want: "tokens or none"}}
	}
	var out []status.Fault
	for i, l := range listeners {
		if !loopback(l) {
			out = append(out, status.Fault{Field: fmt.Sprintf("api[%d]", i), Got: fmt.Sprintf("%q", l), Want: "a loopback address, for --api-auth none makes everybody the operator"})
		}
	}
	return out
}

// loopback reports whether an address is bound to this machine alone. A name
// is not: what it resolves to may change.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// config reads what the authenticator needs but the store.
func (a APIAuth) config() (auth.Config, error) {
	cfg := auth.Config{
		JWKSURL: a.JWKSURL, Issuer: a.Issuer, Audience: a.Audience, None: a.Mode == "none",
		SupabaseURL: a.SupabaseURL, SupabaseServiceRoleKey: a.SupabaseKey,
	}
	if a.HS256SecretFile == "" {
		return cfg, nil
	}
	info, err := os.Stat(a.HS256SecretFile)
	if err != nil {
		return cfg, status.Wrap(err, status.InvalidArgument, "provider.api_secret", "reading the secret of API tokens")
	}
	if info.Mode().Perm()&0o077 != 0 || info.Size() > maxSecretFile {
		return cfg, status.Invalid("provider.config", "the provider's configuration", []status.Fault{{
			Field: "api-hs256-secret-file", Got: fmt.Sprintf("a file of mode %04o and %d bytes", info.Mode().Perm(), info.Size()),
			Want: "one that only its owner reads (0600), of at most 4096 bytes",
		}})
	}
	secret, err := os.ReadFile(a.HS256SecretFile)
	if err != nil {
		return cfg, status.Wrap(err, status.InvalidArgument, "provider.api_secret", "reading the secret of API tokens")
	}
	cfg.HS256Secret = bytes.TrimRight(secret, "\r\n")
	return cfg, nil
}

// authenticator tells callers of the API apart.
func (n *Node) authenticator(db *store.DB) (*auth.Authenticator, error) {
	cfg := n.set.apiAuth
	cfg.Tokens, cfg.Now, cfg.Logger = &tokens{docs: db.Documents("token")}, n.set.Now, n.log
	return auth.New(cfg)
}
