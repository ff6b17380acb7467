package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

func testCommandLine(t *testing.T, b *Bench) {
	entry, cmd := []string{Probe, "echo", "entrypoint"}, []string{"cmd"}
	for _, c := range []struct {
		name          string
		command, args []string
		want          string
	}{
		{"image's own", nil, nil, "entrypoint cmd\n"},
		{"args replace cmd", nil, []string{"args"}, "entrypoint args\n"},
		{"command replaces both", []string{Probe, "echo", "command"}, nil, "command\n"},
		{"command and args", []string{Probe, "echo", "command"}, []string{"args"}, "command args\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBench(t, b.Runtime)
			s := b.Spec()
			s.Containers[0].Image, s.Containers[0].Key = Build(t, Image{Config: ocispec.ImageConfig{Entrypoint: entry, Cmd: cmd}})
			s.Containers[0].Command, s.Containers[0].Args = c.command, c.args
			if out, code := b.Output(s); out != c.want || code != 0 {
				t.Errorf("got %q and %d, want %q", out, code, c.want)
			}
		})
	}
}

func testEnvironment(t *testing.T, b *Bench) {
	s := b.Spec("env", "A", ";", "env", "B", ";", "env", "C", ";", "env", "HOSTNAME")
	s.Containers[0].Image, s.Containers[0].Key = Build(t, Image{Config: ocispec.ImageConfig{Entrypoint: []string{Probe}, Env: []string{"A=image", "B=image"}}})
	s.Containers[0].Env = []manifest.EnvVar{{Name: "B", Value: "manifest=b"}, {Name: "C", Value: ""}}
	if out, code := b.Output(s); out != "image\nmanifest=b\n\nweb\n" || code != 0 {
		t.Errorf("got %q and %d", out, code)
	}
}

// withVolume gives the first container a persistent volume.
func withVolume(s *provider.InstanceSpec, name, path string) {
	s.Volumes = append(s.Volumes, manifest.Volume{Name: name, Kind: manifest.Persistent})
	s.Containers[0].Mounts = append(s.Containers[0].Mounts, manifest.Mount{Volume: name, Path: path})
}

func testSecrets(t *testing.T, b *Bench) {
	s := b.Spec("sleep")
	s.Volumes = []manifest.Volume{{Name: "tls", Kind: manifest.Secret}}
	s.Secrets = map[string]map[string][]byte{"tls": {"key.pem": []byte("open sesame"), "second": []byte("2")}}
	s.Containers[0].Mounts = []manifest.Mount{{Volume: "tls", Path: "/run/tls"}}
	b.Up(s)
	if out, code := b.Run(s.ID, "cat", "/run/tls/key.pem", ";", "cat", "/run/tls/second"); out != "open sesame\n2" || code != 0 {
		t.Errorf("got %q and %d", out, code)
	}
	if out, code := b.Run(s.ID, "write", "/run/tls/new", "x"); code == 0 {
		t.Errorf("a secret volume could be written: %q", out)
	}
	s.Secrets = map[string]map[string][]byte{"tls": {"key.pem": []byte("another")}}
	b.Up(s)
	if out, _ := b.Run(s.ID, "cat", "/run/tls/key.pem"); out != "another" {
		t.Errorf("after it was created again: %q", out)
	}
	if out, code := b.Run(s.ID, "cat", "/run/tls/second"); code == 0 {
		t.Errorf("an old secret is still there: %q", out)
	}
}

func testPersistent(t *testing.T, b *Bench) {
	first := b.Spec("write", "/data/file", "kept", ";", "sleep")
	withVolume(&first, "data", "/data")
	b.Up(first)
	b.Wait("the file", func() bool {
		out, code := b.Run(first.ID, "cat", "/data/file")
		return code == 0 && out == "kept"
	})
	if err := b.RemoveVolumes(t.Context(), first.Pod); status.CodeOf(err) != status.Conflict {
		t.Errorf("removing volumes in use: %v", err)
	}
	b.Gone(first)

	// Another revision of the same pod has the same files, here read-only.
	second := b.Spec("sleep")
	second.Pod, second.ID = first.Pod, provider.InstanceID(string(first.Pod)+"-2-0")
	withVolume(&second, "data", "/data")
	second.Containers[0].Mounts[0].ReadOnly = true
	b.Up(second)
	if out, code := b.Run(second.ID, "cat", "/data/file"); out != "kept" || code != 0 {
		t.Errorf("the next revision finds %q, %d", out, code)
	}
	if out, code := b.Run(second.ID, "write", "/data/file", "changed"); code == 0 {
		t.Errorf("a read-only mount could be written: %q", out)
	}
	// Another pod with a volume of the same name has its own.
	other := b.Spec("sleep")
	withVolume(&other, "data", "/data")
	b.Up(other)
	if out, code := b.Run(other.ID, "cat", "/data/file"); code == 0 {
		t.Errorf("another pod reads %q", out)
	}
	b.Gone(second)
	if err := b.RemoveVolumes(t.Context(), first.Pod); err != nil {
		t.Fatal(err)
	}
	b.Up(second)
	if out, code := b.Run(second.ID, "cat", "/data/file"); code == 0 {
		t.Errorf("after its volumes were removed, the pod reads %q", out)
	}
}

func testEmpty(t *testing.T, b *Bench) {
	s := b.Spec("sleep")
	s.Volumes = []manifest.Volume{{Name: "scratch", Kind: manifest.EmptyDir}}
	s.Containers = append(s.Containers, b.Container("side", "sleep"))
	for i := range s.Containers {
		s.Containers[i].Mounts = []manifest.Mount{{Volume: "scratch", Path: "/scratch"}}
	}
	b.Up(s)
	if out, code := b.Run(s.ID, "write", "/scratch/a", "x"); code != 0 {
		t.Fatal(out)
	}
	code, out, err := b.Exec(t.Context(), s.ID, "side", []string{Probe, "cat", "/scratch/a"})
	if err != nil || code != 0 || strings.TrimSpace(string(out)) != "x" {
		t.Errorf("the other container reads %q, %d, %v", out, code, err)
	}
	b.Up(s)
	if out, code := b.Run(s.ID, "cat", "/scratch/a"); code == 0 {
		t.Errorf("an empty volume was not empty: %q", out)
	}
}

func testKeys(t *testing.T, b *Bench) {
	_, wrong := NewKey(t)
	// The same layers are unpacked already, so that nothing has to be decrypted.
	right := b.Spec("sleep")
	b.Create(right)
	plain, _ := Build(t, Image{Plain: true, Config: ocispec.ImageConfig{Entrypoint: []string{Probe}}})
	for name, change := range map[string]func(*provider.ContainerSpec){
		"wrong key":               func(c *provider.ContainerSpec) { c.Key = wrong },
		"no key":                  func(c *provider.ContainerSpec) { c.Key = nil },
		"not a key":               func(c *provider.ContainerSpec) { c.Key = []byte("hello") },
		"a key for a plain image": func(c *provider.ContainerSpec) { c.Image = plain },
		"no wrapped key": func(c *provider.ContainerSpec) {
			c.Image = changed(c.Image, func(l *provider.Layer) { l.Annotations = nil })
		},
		"garbage for a wrapped key": func(c *provider.ContainerSpec) {
			c.Image = changed(c.Image, func(l *provider.Layer) {
				l.Annotations = map[string]string{"org.opencontainers.image.enc.keys.jwe": "!"}
			})
		},
		"another image than the manifest's": func(c *provider.ContainerSpec) {
			c.Container.Image.ImageID = "sha256:" + strings.Repeat("0", 64)
		},
	} {
		s := b.Spec("sleep")
		change(&s.Containers[0])
		if _, err := b.Runtime.Create(t.Context(), s, nil); status.CodeOf(err) != status.Untrusted {
			t.Errorf("%s: got %v, want untrusted", name, err)
		}
		if b.Find(s.ID) != nil {
			t.Errorf("%s: an instance was left behind", name)
		}
	}
	s := b.Spec("sleep")
	s.Containers[0].Image, s.Containers[0].Key = plain, nil
	b.Up(s)
}

// changed is an image with its last layer changed.
func changed(img *provider.Image, fn func(*provider.Layer)) *provider.Image {
	out := *img
	out.Layers = append([]provider.Layer(nil), img.Layers...)
	fn(&out.Layers[len(out.Layers)-1])
	return &out
}

func testDamaged(t *testing.T, b *Bench) {
	for name, damage := range map[string]func([]byte) []byte{
		"a flipped byte":        func(d []byte) []byte { d[len(d)/2] ^= 1; return d },
		"a flipped first byte":  func(d []byte) []byte { d[0] ^= 1; return d },
		"a flipped last byte":   func(d []byte) []byte { d[len(d)-1] ^= 1; return d },
		"the end is missing":    func(d []byte) []byte { return d[:len(d)/2] },
		"something is appended": func(d []byte) []byte { return append(d, 0) },
		"nothing":               func([]byte) []byte { return nil },
	} {
		// A layer of its own, which is nowhere unpacked.
		files := [][]File{{{Name: "file", Mode: 0o644, Data: bytes.Repeat([]byte(name), 10_000)}}}
		s := b.Spec("sleep")
		c := &s.Containers[0]
		c.Image, c.Key = Build(t, Image{Config: ocispec.ImageConfig{Entrypoint: []string{Probe}}, Layers: files})
		c.Image = changed(c.Image, func(l *provider.Layer) {
			blob, err := l.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, blob.Size())
			if _, err := blob.ReadAt(data, 0); err != nil {
				t.Fatal(err)
			}
			*l = Layer(l.MediaType, damage(data), l.Annotations)
		})
		if _, err := b.Runtime.Create(t.Context(), s, nil); status.CodeOf(err) != status.Untrusted {
			t.Errorf("%s: got %v, want untrusted", name, err)
		}
		if b.Find(s.ID) != nil {
			t.Errorf("%s: an instance was left behind", name)
		}
	}
}

// stuck is a blob whose bytes never come.
type stuck struct {
	ctx     context.Context
	reading chan struct{}
	once    *sync.Once
}

func (s stuck) ReadAt([]byte, int64) (int, error) {
	s.once.Do(func() { close(s.reading) })
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
func (stuck) Size() int64  { return 1000 }
func (stuck) Close() error { return nil }

func testSlowLayers(t *testing.T, b *Bench) {
	s := b.Spec("sleep")
	c := &s.Containers[0]
	files := [][]File{{{Name: "file", Mode: 0o644, Data: []byte("never seen")}}}
	c.Image, c.Key = Build(t, Image{Config: ocispec.ImageConfig{Entrypoint: []string{Probe}}, Layers: files})
	reading, once := make(chan struct{}), &sync.Once{}
	c.Image = changed(c.Image, func(l *provider.Layer) {
		l.Size = 1000
		l.Open = func(ctx context.Context) (provider.ReadAtCloser, error) { return stuck{ctx, reading, once}, nil }
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := b.Runtime.Create(ctx, s, nil)
		done <- err
	}()
	select {
	case <-reading:
	case err := <-done:
		t.Fatalf("created without its last layer: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if b.Find(s.ID) != nil {
		t.Error("an instance was left behind")
	}

	// What the source says is passed on.
	c.Image = changed(c.Image, func(l *provider.Layer) {
		l.Open = func(context.Context) (provider.ReadAtCloser, error) {
			return nil, status.New(status.Unavailable, "fetch.gone", "the publisher is gone")
		}
	})
	if _, err := b.Runtime.Create(t.Context(), s, nil); err == nil {
		t.Error("created without its last layer")
	}
}

func testRefusals(t *testing.T, b *Bench) {
	for name, c := range map[string]struct {
		change func(*provider.InstanceSpec)
		want   status.Code
	}{
		"another class":           {func(s *provider.InstanceSpec) { s.Class = "gvisor" }, status.Unimplemented},
		"no class":                {func(s *provider.InstanceSpec) { s.Class = "" }, status.Unimplemented},
		"an id that climbs":       {func(s *provider.InstanceSpec) { s.ID = "../x" }, status.InvalidArgument},
		"no id":                   {func(s *provider.InstanceSpec) { s.ID = "" }, status.InvalidArgument},
		"a pod that climbs":       {func(s *provider.InstanceSpec) { s.Pod = ".." }, status.InvalidArgument},
		"no publisher":            {func(s *provider.InstanceSpec) { s.Publisher = "" }, status.InvalidArgument},
		"no containers":           {func(s *provider.InstanceSpec) { s.Containers = nil }, status.InvalidArgument},
		"container's name climbs": {func(s *provider.InstanceSpec) { s.Containers[0].Name = "a/../b" }, status.InvalidArgument},
		"two of a name":           {func(s *provider.InstanceSpec) { s.Containers = append(s.Containers, s.Containers[0]) }, status.InvalidArgument},
		"no memory limit":         {func(s *provider.InstanceSpec) { s.Containers[0].Resources.MemoryBytes = 0 }, status.InvalidArgument},
		"no cpu limit":            {func(s *provider.InstanceSpec) { s.Containers[0].Resources.CPUMillis = 0 }, status.InvalidArgument},
		"no pids limit":           {func(s *provider.InstanceSpec) { s.Containers[0].Resources.PIDs = 0 }, status.InvalidArgument},
		"a device": {func(s *provider.InstanceSpec) {
			s.Containers[0].Resources.Extended = []manifest.ExtendedResource{{Name: "nvidia.com/gpu", Count: 1}}
		}, status.InvalidArgument},
		"no image":               {func(s *provider.InstanceSpec) { s.Containers[0].Image = nil }, status.InvalidArgument},
		"mount of no volume":     {func(s *provider.InstanceSpec) { s.Containers[0].Mounts = []manifest.Mount{{Volume: "x", Path: "/x"}} }, status.InvalidArgument},
		"volume's name climbs":   {func(s *provider.InstanceSpec) { withVolume(s, "../x", "/x") }, status.InvalidArgument},
		"mount over /":           {func(s *provider.InstanceSpec) { withVolume(s, "x", "/") }, status.InvalidArgument},
		"mount over /proc":       {func(s *provider.InstanceSpec) { withVolume(s, "x", "/proc/sys") }, status.InvalidArgument},
		"mount over /etc/hosts":  {func(s *provider.InstanceSpec) { withVolume(s, "x", "/etc/hosts") }, status.InvalidArgument},
		"mount that is relative": {func(s *provider.InstanceSpec) { withVolume(s, "x", "x") }, status.InvalidArgument},
		"secret's file climbs": {func(s *provider.InstanceSpec) {
			s.Volumes = []manifest.Volume{{Name: "x", Kind: manifest.Secret}}
			s.Secrets = map[string]map[string][]byte{"x": {"../y": nil}}
		}, status.InvalidArgument},
		"image without config": {func(s *provider.InstanceSpec) {
			img := *s.Containers[0].Image
			img.Config = []byte("{")
			s.Containers[0].Image = &img
		}, status.InvalidArgument},
		"image for another machine": {func(s *provider.InstanceSpec) {
			img := *s.Containers[0].Image
			img.Config = bytes.Replace(img.Config, []byte(`"linux"`), []byte(`"plan9"`), 1)
			s.Containers[0].Image = &img
		}, status.InvalidArgument},
		"nothing to run": {func(s *provider.InstanceSpec) {
			s.Containers[0].Image, s.Containers[0].Key = Build(t, Image{Plain: true})
			s.Containers[0].Args = nil
		}, status.InvalidArgument},
	} {
		s := b.Spec("sleep")
		c.change(&s)
		if _, err := b.Runtime.Create(t.Context(), s, nil); status.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
			b.Gone(s)
		}
	}
}

func testMissing(t *testing.T, b *Bench) {
	s := b.Spec()
	s.Containers[0].Command = []string{missingProgram}
	b.Create(s)
	if err := b.Start(t.Context(), s.ID); status.CodeOf(err) != status.AppFailed {
		t.Errorf("starting a program that is not there: %v", err)
	}
	if in := b.Find(s.ID); in == nil || in.Containers[0].Running {
		t.Errorf("after that: %+v", in)
	}
}

func testLogs(t *testing.T, b *Bench) {
	start := time.Now().Add(-time.Second)
	s := b.Spec("echo", "one", ";", "err", "two", ";", "echo", "three", ";", "exit", "0")
	if _, code := b.Output(s); code != 0 {
		t.Fatal(code)
	}
	streams := map[string]string{"one": "stdout", "two": "stderr", "three": "stdout"}
	lines := b.Logs(provider.LogQuery{Instance: s.ID})
	for i, l := range lines {
		if l.Stream != streams[string(l.Text)] || l.Container != "main" || l.Time.Before(start) || l.Time.After(time.Now()) {
			t.Errorf("line %d: %+v", i, l)
		}
		if i > 0 && l.Time.Before(lines[i-1].Time) {
			t.Errorf("line %d is older than the one before", i)
		}
	}
	if len(lines) != 3 {
		t.Errorf("got %d lines: %q", len(lines), b.Text(s.ID))
	}
	if got := b.Logs(provider.LogQuery{Instance: s.ID, Tail: 2}); len(got) != 2 || string(got[1].Text) != string(lines[2].Text) {
		t.Errorf("the last two are %v", got)
	}
	if got := b.Logs(provider.LogQuery{Instance: s.ID, Tail: 100, Container: "main"}); len(got) != 3 {
		t.Errorf("the last hundred are %d", len(got))
	}
	if got := b.Logs(provider.LogQuery{Instance: s.ID, Since: time.Now()}); len(got) != 0 {
		t.Errorf("since now: %v", got)
	}
	// A second run is added to the first.
	if err := b.Start(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	b.Wait("the second run's lines", func() bool { return len(b.Logs(provider.LogQuery{Instance: s.ID})) == 6 })
	stop := errors.New("enough")
	n := 0
	if err := b.ReadLogs(t.Context(), provider.LogQuery{Instance: s.ID}, func(provider.LogLine) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("the reader's own error: %v after %d lines", err, n)
	}
	for _, q := range []provider.LogQuery{{Instance: "nobody-1-0"}, {Instance: s.ID, Container: "other"}, {Instance: "../x"}} {
		if err := b.ReadLogs(t.Context(), q, func(provider.LogLine) error { return nil }); status.CodeOf(err) != status.NotFound {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func testLogsFollow(t *testing.T, b *Bench) {
	s := b.Spec("echo", "before", ";", "sleep", ";", "echo", "after")
	b.Up(s)
	follow := func(ctx context.Context) (chan string, chan error) {
		lines, done := make(chan string, 16), make(chan error, 1)
		go func() {
			done <- b.ReadLogs(ctx, provider.LogQuery{Instance: s.ID, Follow: true}, func(l provider.LogLine) error {
				lines <- string(l.Text)
				return nil
			})
		}()
		return lines, done
	}
	expect := func(lines chan string, want string) {
		t.Helper()
		select {
		case got := <-lines:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(Patience):
			t.Fatalf("waited in vain for %q", want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	lines, done := follow(ctx)
	expect(lines, "before")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the follower ended with %v", err)
	}
	lines, done = follow(t.Context())
	expect(lines, "before")
	b.Gone(s)
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("after the removal: %v", err)
		}
	case <-time.After(Patience):
		t.Error("the follower went on after the removal")
	}
}
