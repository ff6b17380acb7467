package containerd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/runtime-spec/specs-go"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
	"apocryph/provider/buildpod"
	"apocryph/provider/runtimetest"
)

// plainImages keeps images as they are.
type plainImages struct {
	mu  sync.Mutex
	all map[provider.InstanceID]*oci.Image
}

func (p *plainImages) Import(_ context.Context, img *oci.Image, owner provider.InstanceID, _ func(done, total int64)) (manifest.Image, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[owner] = img
	return manifest.Image{ImageID: img.ID()}, nil, nil
}

func (p *plainImages) Fetch(_ context.Context, owner provider.InstanceID, _ provider.ImageRequest, _ func(provider.Progress)) (*provider.Image, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	img := p.all[owner]
	if img == nil {
		return nil, errors.New("no such image")
	}
	out := &provider.Image{Config: img.Config}
	for _, l := range img.Layers {
		out.Layers = append(out.Layers, provider.Layer{
			MediaType: l.MediaType, Digest: l.Digest, Size: l.Size,
			Open: func(ctx context.Context) (provider.ReadAtCloser, error) {
				r, err := l.Open(ctx)
				if err != nil {
					return nil, err
				}
				defer r.Close()
				data, err := io.ReadAll(r)
				return memory{bytes.NewReader(data)}, err
			},
		})
	}
	return out, nil
}

func (p *plainImages) Release(_ context.Context, owner provider.InstanceID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, owner)
	return nil
}

func (p *plainImages) Owners(context.Context) ([]provider.InstanceID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []provider.InstanceID
	for o := range p.all {
		out = append(out, o)
	}
	return out, nil
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// plain is an image as a base is.
func plain(img *provider.Image) *oci.Image {
	out := &oci.Image{Config: img.Config}
	for _, l := range img.Layers {
		out.Layers = append(out.Layers, oci.Layer{
			MediaType: l.MediaType, Digest: l.Digest, Size: l.Size,
			Open: func(ctx context.Context) (io.ReadCloser, error) {
				b, err := l.Open(ctx)
				if err != nil {
					return nil, err
				}
				return io.NopCloser(io.NewSectionReader(b, 0, b.Size())), nil
			},
		})
	}
	return out
}

// buildPods are build pods on the shared runtime, and the image of the probe.
func buildPods(t *testing.T) (*buildpod.Pods, *oci.Image) {
	t.Helper()
	images := &plainImages{all: map[provider.InstanceID]*oci.Image{}}
	p, err := buildpod.New(buildpod.Config{
		Runtime: shared, Importer: images, Images: images, Disks: shared.cfg.Volumes, Roots: shared, Dir: t.TempDir(),
		Defaults: buildpod.Limits{MemoryBytes: 256 << 20, Time: 30 * time.Second, DiskBytes: 64 << 20, PIDs: 64, CPUMillis: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		disks, err := shared.cfg.Volumes.List()
		for _, d := range disks {
			if pod, _, _ := strings.Cut(d, "."); strings.HasPrefix(pod, provider.BuildPrefix) {
				err = errors.Join(err, shared.RemoveVolumes(context.Background(), provider.PodID(pod)))
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	img, _ := runtimetest.Build(t, runtimetest.Image{Plain: true})
	return p, plain(img)
}

func probeJob(img *oci.Image, script ...string) build.Job {
	return build.Job{Namespace: "tenant", Name: "app", Image: img, Argv: append([]string{runtimetest.Probe}, script...)}
}

func TestBuildPod(t *testing.T) {
	p, img := buildPods(t)
	var log bytes.Buffer
	j := probeJob(img, "cat", "/src/a/file", ";", "write", "/out/x", "made", ";", "write", "/src/new", "x", ";",
		"write", "/tmp/t", "x", ";", "env", "A", ";", "stat", "/src/a/file", "/out", "/tmp", ";", "err", "bye")
	j.Source = fstest.MapFS{"a/file": {Data: []byte("content"), Mode: 0o600}, "run.sh": {Mode: 0o700}}
	j.Env, j.Log, j.Output = []string{"A=b=c"}, &log, t.TempDir()
	for range 2 {
		log.Reset()
		j.Output = t.TempDir()
		began := time.Now()
		if err := p.Run(t.Context(), j); err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		t.Log("took", time.Since(began))
		for _, want := range []string{"content\n", "b=c\n", "/src/a/file -rw-r--r-- 0 0\n", "/out drwxr-xr-x 0 0\n", "/tmp dtrwxrwxrwx 0 0\n", "bye\n"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %q in %q", want, log.String())
			}
		}
		if got, err := os.ReadFile(filepath.Join(j.Output, "x")); err != nil || string(got) != "made" {
			t.Errorf("the output: %q, %v", got, err)
		}
	}
}

func TestBuildPodEnds(t *testing.T) {
	p, img := buildPods(t)
	for _, c := range []struct {
		name   string
		script []string
		change func(*build.Job)
		reason string
		says   string
	}{
		{"another status", []string{"echo", "the reason", ";", "exit", "3"}, nil, "build.command", "status 3"},
		{"no such program", nil, func(j *build.Job) { j.Argv = []string{"/nothing"} }, "build.command", "not in its image"},
		{"too much memory", []string{"eat", "536870912"}, nil, "build.memory", "256 MiB"},
		{"too much beside the volume", []string{"swell", "/var/y", "100", ";", "stubborn"}, nil, "build.disk", "64 MiB"},
		{"too long", []string{"echo", "the reason", ";", "stubborn"}, func(j *build.Job) { j.Time = time.Second }, "build.time", "1s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := probeJob(img, c.script...)
			if c.change != nil {
				c.change(&j)
			}
			err := p.Run(t.Context(), j)
			if status.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v (%s), want %s", err, status.ReasonOf(err), c.reason)
			}
			var e *status.Error
			if c.says == "status 3" && (!errors.As(err, &e) || len(e.Log) != 1 || e.Log[0] != "the reason") {
				t.Errorf("the last lines: %+v", e)
			}
		})
	}
}

func TestBuildPodNetwork(t *testing.T) {
	internet(t)
	b := bench(t)
	hostPort := serveHost(t, ":0")
	other := b.Spec("serve", ":80", "other pod", ";", "sleep")
	otherIP := b.Up(other).IP
	gateway := shared.net.gateway().String()
	p, img := buildPods(t)
	closed := []string{
		otherIP + ":80", gateway + ":" + hostPort, hostSide + ":" + hostPort, metadata + ":" + hostPort, metadata + ":80", privateHost + ":80",
	}
	var log bytes.Buffer
	j := probeJob(img, slices.Concat([]string{"get", "http://" + netSide + "/", ";", "shut"}, closed)...)
	j.Egress, j.Log = true, &log
	if err := p.Run(t.Context(), j); err != nil || !strings.Contains(log.String(), "caller "+hostSide) {
		t.Errorf("with egress: %v: %s", err, log.String())
	}

	log.Reset()
	j = probeJob(img, slices.Concat([]string{
		"serve", "127.0.0.1:90", "itself", ";", "get", "http://127.0.0.1:90/", ";", "cat", "/etc/resolv.conf", ";", "cat", "/proc/net/dev", ";", "shut",
	}, closed, []string{netSide + ":80", "[" + "fe80::1" + "]:80"})...)
	j.Log = &log
	if err := p.Run(t.Context(), j); err != nil || !strings.Contains(log.String(), "200 itself") {
		t.Errorf("without egress: %v: %s", err, log.String())
	}
	if strings.Contains(log.String(), "nameserver") || strings.Contains(log.String(), "eth0") || !strings.Contains(log.String(), "lo:") {
		t.Errorf("without egress: %s", log.String())
	}
	log.Reset()
	for _, r := range shared.net.resolvers {
		j = probeJob(img, "ask", r.String()+":53", "example.com")
		j.Log = &log
		if err := p.Run(t.Context(), j); status.ReasonOf(err) != "build.command" {
			t.Errorf("a name was resolved without egress: %v: %s", err, log.String())
		}
	}
}

// TestBuildPodIsHeld: forks are counted and end with the job; other processes,
// and what is the machine's, are not there.
func TestBuildPodIsHeld(t *testing.T) {
	p, img := buildPods(t)
	me := strconv.Itoa(os.Getpid())
	for _, nested := range []bool{false, true} {
		var log bytes.Buffer
		j := probeJob(img, "proc", ";",
			"denied", "r", "/proc/"+me+"/environ", "/proc/"+me+"/root/etc/passwd", "/proc/kcore", "/dev/mem", "/dev/kmsg", ";",
			"denied", "w", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max", ";",
			"fork", "1000")
		j.Nested, j.Log = nested, &log
		if err := p.Run(t.Context(), j); err != nil {
			t.Fatalf("nested %v: %v\n%s", nested, err, log.String())
		}
		text := log.String()
		caps := map[bool]string{false: "00000000800005fb", true: "00000000802405fb"}[nested]
		for _, want := range []string{
			`(?m)^Seccomp:\s+2$`, `(?m)^NoNewPrivs:\s+1$`, `(?m)^CapBnd:\s+` + caps + `$`, `(?m)^CapEff:\s+` + caps + `$`,
			`(?m)^\s+0\s+\d{10}\s+65536$`, `(?m)^forked [1-5][0-9]? then`,
		} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("nested %v: no match for %s in:\n%s", nested, want, text)
			}
		}
	}
}

// TestNestedFilter: who hosts containers may mount and unshare, and nothing
// else of what the profile gives to SYS_ADMIN.
func TestNestedFilter(t *testing.T) {
	for _, nested := range []bool{false, true} {
		c := provider.ContainerSpec{Nested: nested}
		c.Command = []string{"x"}
		s, err := newSpec(namespaces.WithNamespace(t.Context(), "x"), "x", c, &image{}, specs.User{}, place{cgroup: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		allowed := map[string]bool{}
		for _, rule := range s.Linux.Seccomp.Syscalls {
			for _, name := range rule.Names {
				if rule.Action == specs.ActAllow && len(rule.Args) == 0 {
					allowed[name] = true
				}
			}
		}
		for _, name := range []string{"mount", "umount2", "unshare", "setns", "chroot"} {
			if allowed[name] != nested {
				t.Errorf("nested %v: %s is allowed: %v", nested, name, allowed[name])
			}
		}
		for _, name := range append(slices.Clone(neverNested), "keyctl", "init_module", "kexec_load", "userfaultfd", "reboot", "swapon") {
			if allowed[name] {
				t.Errorf("nested %v: %s is allowed", nested, name)
			}
		}
	}
}

// TestBuildPodSweep removes a job that runs on after its process was killed.
func TestBuildPodSweep(t *testing.T) {
	p, img := buildPods(t)
	next, _ := buildPods(t)
	started := make(chan struct{})
	j := probeJob(img, "echo", "up", ";", "fork", "3", ";", "stubborn")
	j.Log = &notify{text: "forked", seen: started}
	done := make(chan error, 1)
	go func() { done <- p.Run(t.Context(), j) }()
	select {
	case <-started:
	case err := <-done:
		t.Fatal(err)
	}
	if err := next.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Whoever waits for it sees its kill or that it is gone.
	if err := <-done; !slices.Contains([]string{"build.vanished", "build.command"}, status.ReasonOf(err)) {
		t.Errorf("got %v", err)
	}
	all, err := shared.List(t.Context())
	disks, derr := shared.cfg.Volumes.List()
	if err != nil || derr != nil || len(disks) > 0 || slices.ContainsFunc(all, func(in provider.Instance) bool { return in.ID.Build() }) {
		t.Errorf("left: %v, %v, %v, %v", all, disks, err, derr)
	}
}

// notify closes seen when text was written.
type notify struct {
	text string
	seen chan struct{}
	once sync.Once
}

func (n *notify) Write(b []byte) (int, error) {
	if strings.Contains(string(b), n.text) {
		n.once.Do(func() { close(n.seen) })
	}
	return len(b), nil
}
