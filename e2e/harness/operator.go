package harness

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
)

// Operate runs a command of the provider's program on its data directory, and
// returns what it wrote to standard output.
func (p *Provider) Operate(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.w.providerBin, append(args, "--data-dir", p.Dir)...)
	cmd.Env = env(p.w.Path("home"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("provider %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// Shell runs a script with bash in a directory of the world, with further
// variables as NAME=VALUE, and returns what it printed. Its curl reads HOME/.curlrc.
func (w *World) Shell(dir, script string, vars ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, append(env(w.Path("home")), vars...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Errorf("%s\n%v: %s", script, err, out)
	}
	return string(out)
}

// Programs is the directory with the programs, provider and publisher.
func (w *World) Programs() string { return filepath.Dir(w.providerBin) }

// App builds the sample app as a program of its own.
func (w *World) App() string {
	w.t.Helper()
	path := w.Path("sample-app")
	cmd := exec.CommandContext(w.t.Context(), "go", "build", "-trimpath", "-o", path, "./e2e/sample/app")
	cmd.Dir, cmd.Env = root(), append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("building the sample app: %v\n%s", err, out)
	}
	return path
}
