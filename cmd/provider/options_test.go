package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
)

func TestDefaultDataDir(t *testing.T) {
	for _, tt := range []struct {
		uid       int
		xdg, home string
		want      string
	}{
		{0, "/x", "/h", "/var/lib/apocryph"},
		{1000, "/x", "/h", "/x/apocryph"},
		{1000, "", "/h", "/h/.local/share/apocryph"},
		{1000, "relative", "/h", "/h/.local/share/apocryph"},
		{1000, "", "", ""},
		{1000, "", "relative", ""},
	} {
		env := map[string]string{"XDG_DATA_HOME": tt.xdg, "HOME": tt.home}
		if got := defaultDataDir(tt.uid, func(name string) string { return env[name] }); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

func TestSettled(t *testing.T) {
	o := options{}
	o.cfg.DataDir = "/d"
	app := &cli.App{Getenv: func(string) string { return "" }}
	if err := o.settled(app); err != nil || len(o.cfg.APISockets) != 1 || o.cfg.APISockets[0] != "/d/api.sock" {
		t.Errorf("got %v, %v", o.cfg.APISockets, err)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.cfg.DataDir = file
	if err := o.settled(app); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("a file as data directory: %v", err)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks a description or an example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&cli.App{Getenv: func(string) string { return "" }}))
}

// TestZ13DefaultPort: the API is where the examples look for it.
func TestZ13DefaultPort(t *testing.T) {
	var o options
	cmd := &cobra.Command{}
	o.add(cmd)
	if got := o.cfg.API; len(got) != 1 || got[0] != "127.0.0.1:47080" {
		t.Errorf("the API listens on %v", got)
	}
}
