package publisherd

import (
	"log/slog"
	"path/filepath"

	"apocryph/proto/status"
)

// Config is a publisher's configuration.
type Config struct {
	// Home holds all state, with mode 0700.
	Home string
	// Listen and Bootstrap are multiaddrs; both may be empty.
	Listen, Bootstrap []string
	DHTPrefix         string
	NoMDNS            bool
	Version           string
	// TEE is what this machine proves itself with to providers that demand it:
	// "tpm2" or "soft"; empty proves nothing. TPM is a device path or
	// "unix:SOCKET".
	TEE, TPM string
	// Binary is the program whose digest the software device reports; empty means
	// the running one.
	Binary string
	// Waiting is called once if another process of this home has to end first;
	// may be nil.
	Waiting func()
	Logger  *slog.Logger
}

func (c Config) check() (Config, error) {
	if c.Home == "" {
		return c, status.New(status.InvalidArgument, "publisher.home", "there is no home directory to keep state in").
			WithHint("set --home, XDG_STATE_HOME or HOME")
	}
	abs, err := filepath.Abs(c.Home)
	if err != nil {
		return c, err
	}
	c.Home = abs
	if c.Waiting == nil {
		c.Waiting = func() {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
