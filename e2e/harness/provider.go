package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Provider is a provider process and its data directory.
type Provider struct {
	t     *testing.T
	w     *World
	Dir   string
	args  []string
	cmd   *exec.Cmd
	log   syncBuffer
	ended chan error
	Info  Info
	// Env is added to the environment of the next start.
	Env []string
}

// Info is provider.json.
type Info struct {
	PeerID     string   `json:"peer_id"`
	Addrs      []string `json:"addrs"`
	Ingress    string   `json:"ingress"`
	IngressTLS string   `json:"ingress_tls"`
	API        string   `json:"api"`
	APISocket  string   `json:"api_socket"`
	TEE        string   `json:"tee"`
	PID        int      `json:"pid"`
}

// Addr is how the provider is reached.
func (p *Provider) Addr() string { return p.Info.Addrs[0] }

// Provider starts a provider with the software device, on free ports of the
// loopback, and more flags. When the test ends its pods must be gone already.
func (w *World) Provider(name string, flags ...string) *Provider {
	w.t.Helper()
	p := w.prepare(name, flags...)
	p.Start()
	return p
}

func (w *World) prepare(name string, flags ...string) *Provider {
	p := &Provider{t: w.t, w: w, Dir: w.Path(name)}
	p.args = append([]string{
		"serve", "--data-dir", p.Dir, "--listen", "/ip4/127.0.0.1/tcp/0", "--ingress", "127.0.0.1:0", "--api", "127.0.0.1:0",
		"--no-mdns", "--log-format", "text", "--log-level", "debug",
	}, flags...)
	if !strings.Contains(strings.Join(flags, " "), "--storage") {
		// The default is half of the disk, reserved.
		p.args = append(p.args, "--storage-size", "2Gi")
	}
	if !strings.Contains(strings.Join(flags, " "), "--tee") {
		p.args = append(p.args, "--tee", "soft")
	}
	w.t.Cleanup(p.cleanup)
	return p
}

// Start starts the process and waits until it serves. A provider that was
// started before comes back on the same addresses.
func (p *Provider) Start() {
	p.t.Helper()
	if err := p.TryStart(); err != nil {
		p.t.Fatalf("the provider did not start: %v\n%s", err, p.Log())
	}
}

// TryStart is Start for a provider that may not come up.
func (p *Provider) TryStart() error {
	info := filepath.Join(p.Dir, "provider.json")
	if err := os.Remove(info); err != nil && !os.IsNotExist(err) {
		return err
	}
	args := append([]string(nil), p.args...)
	if p.Info.PeerID != "" {
		addr := strings.Split(p.Addr(), "/p2p/")[0]
		args = append(args, "--listen", addr, "--ingress", p.Info.Ingress)
		args = dropFirst(dropFirst(args, "--listen"), "--ingress")
	}
	p.cmd = p.w.command(p.w.providerBin, args...)
	p.cmd.Env = append(env(p.w.Path("home")), p.Env...)
	p.cmd.Stderr = &p.log
	p.ended = make(chan error, 1)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(p.cmd, p.ended)
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-p.ended:
			p.ended <- err
			if err == nil {
				err = os.ErrProcessDone
			}
			return err
		case <-deadline.C:
			return os.ErrDeadlineExceeded
		case <-tick.C:
		}
		if b, err := os.ReadFile(info); err == nil {
			return json.Unmarshal(b, &p.Info)
		}
	}
}

// dropFirst removes the first occurrence of a flag and its value.
func dropFirst(args []string, flag string) []string {
	for i := 0; i+1 < len(args); i++ {
		if args[i] == flag {
			return append(append([]string(nil), args[:i]...), args[i+2:]...)
		}
	}
	return args
}

// Kill is kill -9.
func (p *Provider) Kill() {
	_ = p.cmd.Process.Kill()
	err := <-p.ended
	p.ended <- err
}

// Stop asks the provider to end and returns its exit code.
func (p *Provider) Stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-deadline.C:
		p.t.Errorf("the provider did not stop:\n%s", p.Log())
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Log is what the provider wrote.
func (p *Provider) Log() string { return p.log.String() }

// PID is the process id.
func (p *Provider) PID() int { return p.cmd.Process.Pid }

func (p *Provider) cleanup() {
	if p.cmd == nil {
		return
	}
	if p.cmd.ProcessState == nil {
		if code := p.Stop(); code != 0 {
			p.t.Errorf("the provider ended with code %d", code)
		}
	}
	for _, l := range p.leftovers() {
		p.t.Errorf("the provider left %s", l)
	}
	if p.t.Failed() {
		p.t.Logf("provider %s said:\n%s", filepath.Base(p.Dir), tail(p.Log(), 200))
	}
}

// leftovers are what a provider without pods must not leave on the machine.
func (p *Provider) leftovers() []string {
	var left []string
	if id := p.Info.PeerID; id != "" {
		left, _ = filepath.Glob("/run/apocryph/" + strings.ToLower(id[len(id)-8:]))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return append(left, err.Error())
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, p.Dir+"/") {
			left = append(left, line)
		}
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is a good one
	for _, path := range commands {
		// Those that have ended meanwhile are not left.
		if line, err := os.ReadFile(path); err == nil && bytes.HasPrefix(line, []byte(p.Dir+"/")) {
			left = append(left, fmt.Sprintf("%s %q", path, line))
		}
	}
	return left
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// syncBuffer is a buffer that a process writes while a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
