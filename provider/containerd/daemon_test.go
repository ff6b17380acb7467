package containerd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"apocryph/provider"
	"apocryph/provider/runtimetest"
)

// testDaemon is a provider's runtime in a process of its own. It reads commands
// from standard input, one JSON object a line, and answers each with one.
func testDaemon(dir string) error {
	var cfg Config
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &cfg)
	}
	if err != nil {
		return err
	}
	cfg.Volumes = dirVolumes(cfg.StateDir + "-volumes")
	r, err := New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	select {
	case <-r.Ready():
	case err := <-done:
		return err
	}
	out := json.NewEncoder(os.Stdout)
	in := json.NewDecoder(os.Stdin)
	for {
		if err := out.Encode(answer{Done: true}); err != nil {
			return err
		}
		var c command
		if err := in.Decode(&c); err != nil {
			cancel()
			return errors.Join(<-done, leftovers(r))
		}
		if err := out.Encode(c.do(ctx, r)); err != nil {
			return err
		}
	}
}

// command is one call of a daemon.
type command struct {
	Op   string
	ID   provider.InstanceID
	Args []string
	// Stuck never delivers the image's last layer.
	Stuck bool
}

type answer struct {
	Done      bool `json:",omitempty"`
	Err       string
	Code      int
	Out       string
	Instances []provider.Instance
	Created   provider.Created
}

// daemonSpec makes an instance of the image that the test has left in a file:
// images hold functions and cannot be sent.
func daemonSpec(c command) (provider.InstanceSpec, error) {
	dir := os.Getenv(daemonEnv)
	var img struct {
		Manifest, Config, Key []byte
		Layers                []struct {
			MediaType string
			Data      []byte
			Notes     map[string]string
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "image.json"))
	if err == nil {
		err = json.Unmarshal(data, &img)
	}
	if err != nil {
		return provider.InstanceSpec{}, err
	}
	p := &provider.Image{Manifest: img.Manifest, Config: img.Config}
	for _, l := range img.Layers {
		p.Layers = append(p.Layers, runtimetest.Layer(l.MediaType, l.Data, l.Notes))
	}
	if c.Stuck {
		l := &p.Layers[len(p.Layers)-1]
		l.Open = func(ctx context.Context) (provider.ReadAtCloser, error) {
			// The test waits for this line before it kills.
			fmt.Println(`{"Out":"stuck"}`)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	pod, _, _ := strings.Cut(string(c.ID), "-")
	s := provider.InstanceSpec{
		ID: c.ID, Pod: provider.PodID(pod), Publisher: "12D3KooWTest", Name: "web", Class: runtimeClass,
		Containers: []provider.ContainerSpec{{Image: p, Key: img.Key}},
	}
	k := &s.Containers[0]
	k.Name, k.Args = "main", c.Args
	k.Resources.CPUMillis, k.Resources.MemoryBytes, k.Resources.PIDs = 1000, 64<<20, 64
	return s, nil
}

func (c command) do(ctx context.Context, r *Runtime) answer {
	var a answer
	var err error
	switch c.Op {
	case "up":
		var s provider.InstanceSpec
		if s, err = daemonSpec(c); err == nil {
			a.Created, err = r.Create(ctx, s, nil)
		}
		if err == nil {
			err = r.Start(ctx, c.ID)
		}
	case "list":
		a.Instances, err = r.List(ctx)
	case "exec":
		var out []byte
		a.Code, out, err = r.Exec(ctx, c.ID, "main", append([]string{runtimetest.Probe}, c.Args...))
		a.Out = string(out)
	case "logs":
		err = r.ReadLogs(ctx, provider.LogQuery{Instance: c.ID}, func(l provider.LogLine) error { a.Out += string(l.Text) + "\n"; return nil })
	case "remove":
		err = r.Remove(ctx, c.ID, 0)
	default:
		err = fmt.Errorf("unknown op %q", c.Op)
	}
	if err != nil {
		a.Err = err.Error()
	}
	return a
}

// daemon is a running test daemon.
type daemon struct {
	t *testing.T
	// cgroup and dirs are those of its provider.
	cgroup string
	dirs   layout

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// daemonDir makes the directory of a daemon.
func daemonDir(t *testing.T) string {
	t.Helper()
	cfg, clean, err := testConfig()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clean(); err != nil {
			t.Error(err)
		}
	})
	cfg.Logger = nil
	img, key := bench(t).Image()
	type layer struct {
		MediaType string
		Data      []byte
		Notes     map[string]string
	}
	var layers []layer
	for _, l := range img.Layers {
		blob, err := l.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, blob.Size())
		if _, err := blob.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, layer{l.MediaType, data, l.Annotations})
	}
	dir := t.TempDir()
	for name, v := range map[string]any{
		"config.json": cfg,
		"image.json":  map[string]any{"Manifest": img.Manifest, "Config": img.Config, "Key": key, "Layers": layers},
	} {
		data, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func startDaemon(t *testing.T, dir string) *daemon {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	if data, err := os.ReadFile(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	} else if err := json.Unmarshal(data, &cfg); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, cmd: exec.Command(self), cgroup: namesOf(cfg.Identity).cgroup, dirs: layout{data: cfg.DataDir, keep: cfg.StateDir, run: cfg.RuntimeDir}}
	d.cmd.Env = append(os.Environ(), daemonEnv+"="+dir)
	d.cmd.Stderr = os.Stderr
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.out = bufio.NewScanner(out)
	d.out.Buffer(nil, 1<<20)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	d.read()
	return d
}

func (d *daemon) read() answer {
	d.t.Helper()
	// A daemon that hangs says where.
	watchdog := time.AfterFunc(runtimetest.Patience, func() { _ = d.cmd.Process.Signal(unix.SIGQUIT) })
	defer watchdog.Stop()
	if !d.out.Scan() {
		d.t.Fatalf("the daemon says nothing: %v", d.out.Err())
	}
	var a answer
	if err := json.Unmarshal(d.out.Bytes(), &a); err != nil {
		d.t.Fatalf("the daemon says %q", d.out.Text())
	}
	return a
}

func (d *daemon) send(c command) {
	d.t.Helper()
	if err := json.NewEncoder(d.in).Encode(c); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) call(c command) answer {
	d.t.Helper()
	d.send(c)
	a := d.read()
	if a.Err != "" {
		d.t.Fatalf("%s: %s", c.Op, a.Err)
	}
	d.read()
	return a
}

// kill is kill -9.
func (d *daemon) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait()
}

// end lets a daemon end, which checks that it leaves nothing behind.
func (d *daemon) end() {
	d.t.Helper()
	d.in.Close()
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("the daemon ended with %v", err)
	}
}
