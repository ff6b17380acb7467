package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

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
	if _, err := b.Runtime.Create(t.Context(), s, nil); status.CodeOf(err) != status.Unavailable || status.ReasonOf(err) != "fetch.gone" {
		t.Errorf("a layer whose source is gone: got %v", err)
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
