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

// daemonPlan is what the test image and specifications of a daemon are made of;
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
	// cgroup is that of its provider.
	cgroup string

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
	d := &daemon{t: t, cmd: exec.Command(self), cgroup: namesOf(cfg.Identity).cgroup}
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

func TestPodsOutliveTheDaemon(t *testing.T) {
	dir := daemonDir(t)
	d := startDaemon(t, dir)
	const id, done, later = "podone-1-0", "podtwo-1-0", "podzzz-1-0"
	created := d.call(command{Op: "up", ID: id, Args: []string{"serve", ":80", "alive", ";", "echo", "begun", ";", "sleep"}}).Created
	d.call(command{Op: "up", ID: done, Args: []string{"exit", "6"}})
	d.call(command{Op: "up", ID: later, Args: []string{"sleep", ";", "exit", "9"}})
	b := bench(t)
	reach := func() bool { got, err := httpGet(t, "http://"+created.IP+"/"); return err == nil && got == "alive" }
	b.Wait("the pod to answer", reach)
	b.Wait("the other to end", func() bool {
		list := d.call(command{Op: "list"}).Instances
		return len(list) == 3 && list[1].Containers[0].ExitCode == 6
	})
	// Two providers on this machine do not notice each other, and their pods
	// cannot either.
	s := b.Spec("sleep")
	b.Up(s)
	if out, code := b.Run(s.ID, "dial", "tcp", created.IP+":80"); code == 0 {
		t.Errorf("a pod reaches one of another provider: %q", out)
	}
	d.kill()
	if !reach() {
		t.Error("the pod ended with its daemon")
	}

	// One ends while no daemon is there.
	group := (&Runtime{names: names{cgroup: d.cgroup}}).cgroup(later)
	for _, pid := range cgroupPIDs(group) {
		if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
	}
	b.Wait("the end", func() bool { return len(cgroupPIDs(group)) == 0 })

	d = startDaemon(t, dir)
	list := d.call(command{Op: "list"}).Instances
	if len(list) == 3 && (list[2].Containers[0].Running || list[2].Containers[0].ExitCode != 9) {
		t.Errorf("one that ended meanwhile: %+v", list[2])
	}
	if len(list) != 3 || list[0].ID != id || !list[0].Containers[0].Running || list[0].IP != created.IP || list[1].Containers[0].ExitCode != 6 {
		t.Errorf("after the restart: %+v", list)
	}
	if a := d.call(command{Op: "exec", ID: id, Args: []string{"echo", "hello"}}); a.Out != "hello\n" || a.Code != 0 {
		t.Errorf("exec after the restart: %+v", a)
	}
	if a := d.call(command{Op: "logs", ID: id}); a.Out != "begun\n" {
		t.Errorf("logs after the restart: %q", a.Out)
	}
	if !reach() {
		t.Error("the restart cut the pod off")
	}
	d.call(command{Op: "remove", ID: id})
	d.call(command{Op: "remove", ID: done})
	d.call(command{Op: "remove", ID: later})
	d.end()
}

func TestKilledWhileCreating(t *testing.T) {
	dir := daemonDir(t)
	d := startDaemon(t, dir)
	d.send(command{Op: "up", ID: "podone-1-0", Args: []string{"sleep"}, Stuck: true})
	if a := d.read(); a.Out != "stuck" {
		t.Fatalf("got %+v", a)
	}
	d.kill()
	d = startDaemon(t, dir)
	if list := d.call(command{Op: "list"}).Instances; len(list) != 0 {
		t.Errorf("a half made instance is listed: %+v", list)
	}
	d.end()
}

// TestKilledAtAnyPoint kills the daemon at many points of making, starting and
// removing an instance; afterwards the instance is either whole or gone, and
// nothing else is left.
func TestKilledAtAnyPoint(t *testing.T) {
	dir := daemonDir(t)
	const id = "podone-1-0"
	for _, after := range []time.Duration{5, 20, 40, 60, 80, 100, 130, 160, 200, 250} {
		d := startDaemon(t, dir)
		d.send(command{Op: "up", ID: id, Args: []string{"sleep"}})
		pause(t, after*time.Millisecond)
		d.kill()
		d = startDaemon(t, dir)
		list := d.call(command{Op: "list"}).Instances
		if len(list) > 1 {
			t.Fatalf("killed after %d ms: %+v", after, list)
		}
		d.send(command{Op: "remove", ID: id})
		pause(t, after/2*time.Millisecond)
		d.kill()
		d = startDaemon(t, dir)
		// Whatever was left, the same instance can be made and removed.
		d.call(command{Op: "up", ID: id, Args: []string{"sleep"}})
		if a := d.call(command{Op: "exec", ID: id, Args: []string{"echo", "hello"}}); a.Out != "hello\n" {
			t.Errorf("killed after %d ms: %+v", after, a)
		}
		d.call(command{Op: "remove", ID: id})
		d.end()
	}
}

func TestOneDaemonPerDirectory(t *testing.T) {
	cfg := shared.cfg
	cfg.RuntimeDir = t.TempDir()
	if len(cfg.RuntimeDir) > maxRuntimeDir {
		cfg.RuntimeDir = "/run/apt-second"
		t.Cleanup(func() { os.RemoveAll(cfg.RuntimeDir) })
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another process uses") {
		t.Errorf("got %v", err)
	}
}

// pause lets a daemon work for a time that decides where it is killed.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
