package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// moduleCount modules of moduleLines lines make the app small and not tiny:
	// about 60 kB of text, which compresses as a program's text does.
	moduleCount, moduleLines = 12, 100
	// sourceApp answers 200 on $PORT, with the standard library alone.
	sourceApp = `import os
from http.server import BaseHTTPRequestHandler, HTTPServer

import shop

REVISION = %d


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"revision {REVISION}, {shop.total()} functions\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`
)

// repository is a git repository of a small Python app on this machine.
type repository struct {
	dir string
	// revision is that of the last commit; each differs from the one before in a
	// line of main.py, and has the tag vREVISION.
	revision int
}

// repository makes one with a first commit.
func (b *bench) repository(ctx context.Context, name string) (*repository, error) {
	r := &repository{dir: filepath.Join(b.dir, name)}
	if err := os.MkdirAll(filepath.Join(r.dir, "shop"), 0o755); err != nil {
		return nil, err
	}
	all := "COUNT = 0\n"
	for m := range moduleCount {
		var text strings.Builder
		for line := range moduleLines / 4 {
			fmt.Fprintf(&text, "def price_%d_%d(amount, rate=%d.%02d):\n    \"\"\"The price of an amount at a rate, number %d.\"\"\"\n    return round(amount * rate / %d, 2) if amount > %d else 0\n\n",
				m, line, line%7, line, m*moduleLines+line, line+3, line*m)
		}
		if err := os.WriteFile(filepath.Join(r.dir, "shop", fmt.Sprintf("part_%d.py", m)), []byte(text.String()), 0o644); err != nil {
			return nil, err
		}
		all += fmt.Sprintf("from . import part_%d\nCOUNT += len(dir(part_%d))\n", m, m)
	}
	all += "\n\ndef total():\n    return COUNT\n"
	if err := os.WriteFile(filepath.Join(r.dir, "shop", "__init__.py"), []byte(all), 0o644); err != nil {
		return nil, err
	}
	if err := r.git(ctx, "init", "--quiet", "--initial-branch=main"); err != nil {
		return nil, err
	}
	return r, r.commit(ctx)
}

func (r *repository) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{
		"-C", r.dir, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false", "-c", "gc.auto=0",
	}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	return must(cmd)
}

// commit changes one line and commits that.
func (r *repository) commit(ctx context.Context) error {
	r.revision++
	err := os.WriteFile(filepath.Join(r.dir, "main.py"), fmt.Appendf(nil, sourceApp, r.revision), 0o644)
	for _, args := range [][]string{{"add", "."}, {"commit", "--quiet", "-m", "revision " + r.tag()}, {"tag", r.tag()}} {
		if err == nil {
			err = r.git(ctx, args...)
		}
	}
	return err
}

func (r *repository) tag() string { return fmt.Sprintf("v%d", r.revision) }

func (r *repository) url() string { return "file://" + r.dir }

// clone is the first step of whoever does it by hand.
func (r *repository) clone(ctx context.Context, tag, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return r.git(ctx, "-c", "advice.detachedHead=false", "clone", "--quiet", "--depth=1", "--branch", tag, r.url(), to)
}
