package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"apocryph/provider/providerd"
)

const (
	// startTime bounds the start of a process that serves.
	startTime = 2 * time.Minute
	// pollEvery is how often it is asked whether it does.
	pollEvery = 20 * time.Millisecond
)

// env is an environment without anything of the caller's that could matter.
func (b *bench) env() []string {
	return []string{"HOME=" + filepath.Join(b.dir, "home"), "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
}

// server is a process that printed a line of JSON when it served. It runs until stop.
type server struct {
	cmd *exec.Cmd
	in  io.Closer
}

// serve starts cmd in a network namespace (nil: this one) and decodes the first
// line of its standard output into said.
func serve(ns *namespace, cmd *exec.Cmd, said any) (*server, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := ns.start(cmd); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, in: in}
	deadline := time.AfterFunc(startTime, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, said)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("starting %s: %w\n%s", cmd.Args, err, text.String())
	}
	return s, nil
}

func (s *server) stop() {
	_ = s.in.Close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// once runs a role to its end and returns what it measured.
func (b *bench) once(ctx context.Context, ns *namespace, args ...string) (measured, error) {
	cmd := b.role(ctx, args...)
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	err := ns.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	var m measured
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &m)
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w\n%s", args[0], err, text.String())
	}
	return m, nil
}

// provider is a provider process.
type provider struct {
	dir  string
	info providerd.Info
	cmd  *exec.Cmd
	log  logBuffer
}

// provider starts a provider on free ports of the loopback. It outlives an
// interrupted run until its pods are deleted, so the terminal's signals must not
// reach it.
func (b *bench) provider(ctx context.Context, name string, flags ...string) (*provider, error) {
	p := &provider{dir: filepath.Join(b.dir, name)}
	p.cmd = exec.Command(filepath.Join(b.bin, "provider"), append([]string{
		"serve", "--data-dir", p.dir, "--listen", "/ip4/127.0.0.1/tcp/0", "--ingress", "127.0.0.1:0", "--api", "127.0.0.1:0",
		"--no-mdns", "--log-format", "json",
	}, flags...)...)
	p.cmd.Env = b.env()
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for end := time.Now().Add(startTime); ; <-tick.C {
		var err error
		if p.info, err = providerd.ReadInfo(p.dir); err == nil {
			return p, nil
		}
		if ctx.Err() != nil || statusKB(p.cmd.Process.Pid, "VmRSS") == 0 || time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("the provider did not start: %s", p.log.String())
		}
	}
}

func (p *provider) addr() string { return p.info.Addrs[0] }

func (p *provider) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// states are the moments at which a pod of a name changed its state.
func (p *provider) states(name string) map[string]time.Time {
	out := map[string]time.Time{}
	for text := range strings.Lines(p.log.String()) {
		var l struct {
			Time          time.Time
			Msg, Name, To string
		}
		if json.Unmarshal([]byte(text), &l) == nil && l.Msg == "pod state" && l.Name == name {
			out[l.To] = l.Time
		}
	}
	return out
}

// publisher is a command of a publisher's home.
func (b *bench) publisher(ctx context.Context, home string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "publisher"), append([]string{
		"--home", filepath.Join(b.dir, home), "--no-mdns", "--json",
	}, args...)...)
	cmd.Env = b.env()
	return cmd
}

// must runs a command that has to succeed.
func must(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// policy writes a policy from what a provider shows.
func (b *bench) policy(ctx context.Context, home string, p *provider) (string, error) {
	path := filepath.Join(b.dir, home+"-policy.yaml")
	return path, must(b.publisher(ctx, home, "policy", "init", "--from", p.addr(), "-o", path))
}

// logBuffer is a buffer that a process writes while it is read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// role is this program as one end of a transfer.
func (b *bench) role(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.self, append([]string{"role"}, args...)...)
}
