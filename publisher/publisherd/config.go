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
