package harness

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Publisher is a publisher's home. Each command is a process of its own.
type Publisher struct {
	t    *testing.T
	w    *World
	Home string
	// apps are those to delete when the test ends.
	apps map[string]bool
}

// Publisher makes a publisher with an empty home. When the test ends it
// deletes every app that it deployed.
func (w *World) Publisher(name string) *Publisher {
	p := &Publisher{t: w.t, w: w, Home: w.Path(name), apps: map[string]bool{}}
	w.t.Cleanup(func() {
		for _, app := range p.listed() {
			if r := p.Run("delete", app); r.Exit != 0 && r.Exit != 13 {
				w.t.Errorf("deleting %s: %s", app, r.Stderr)
			}
		}
	})
	return p
}

// Result is how a command ended.
type Result struct {
	Exit           int
	Stdout, Stderr string
}

// Last is the last line of standard output.
func (r Result) Last() string {
	lines := strings.Split(strings.TrimSpace(r.Stdout), "\n")
	return lines[len(lines)-1]
}

// Object is the last JSON object of standard output.
func (r Result) Object(t *testing.T) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(r.Last()), &out); err != nil {
		t.Fatalf("the last line is no JSON object: %v\n%s\n%s", err, r.Stdout, r.Stderr)
	}
	return out
}

// Cmd prepares a command without starting it.
func (p *Publisher) Cmd(args ...string) *exec.Cmd {
	cmd := p.w.command(p.w.publisherBin, append([]string{"--home", p.Home, "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"}, args...)...)
	cmd.Env = env(p.w.Path("home"))
	cmd.Dir = p.w.Dir
	return cmd
}

// Run runs a command to its end.
func (p *Publisher) Run(args ...string) Result {
	p.t.Helper()
	cmd := p.Cmd(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Must is Run for a command that has to succeed.
func (p *Publisher) Must(args ...string) Result {
	p.t.Helper()
	r := p.Run(args...)
	if r.Exit != 0 {
		p.t.Fatalf("publisher %s: exit %d\n%s%s", strings.Join(args, " "), r.Exit, r.Stdout, r.Stderr)
	}
	return r
}

// Fails is Run for a command that has to fail with an exit code and to say each of texts.
func (p *Publisher) Fails(exit int, texts []string, args ...string) Result {
	p.t.Helper()
	r := p.Run(args...)
	if r.Exit != exit {
		p.t.Errorf("publisher %s: exit %d, want %d\n%s%s", strings.Join(args, " "), r.Exit, exit, r.Stdout, r.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stderr, text) {
			p.t.Errorf("publisher %s: standard error lacks %q:\n%s", strings.Join(args, " "), text, r.Stderr)
		}
	}
	return r
}

// Policy writes a policy from what a provider shows and returns its path.
func (p *Publisher) Policy(from ...*Provider) string {
	p.t.Helper()
	path := p.w.Path("policy-" + from[0].Info.PeerID[len(from[0].Info.PeerID)-6:] + "-" + strings.ReplaceAll(p.Home, "/", "_") + ".yaml")
	args := []string{"policy", "init", "-o", path}
	for _, f := range from {
		args = append(args, "--from", f.Addr())
	}
	p.Must(args...)
	return path
}

// listed are the apps that the state knows, without those that were deployed over
// HTTP: a provider's API has them, and its token may be gone.
func (p *Publisher) listed() []string {
	r := p.Run("list", "--json")
	var names []string
	for s := bufio.NewScanner(strings.NewReader(r.Stdout)); s.Scan(); {
		var line struct {
			Event string `json:"event"`
			App   string `json:"app"`
			API   string `json:"api"`
		}
		if json.Unmarshal(s.Bytes(), &line) == nil && line.Event == "app" && line.API == "" {
			names = append(names, line.App)
		}
	}
	return names
}
