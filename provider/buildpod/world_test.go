package buildpod

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/provider"
	"apocryph/provider/build"
	"apocryph/provider/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errDead is what everything returns to a process that was killed.
var errDead = errors.New("killed")

// life is one process: nothing happens any more when it is dead.
type life struct {
	mu   sync.Mutex
	dead bool
}

func (l *life) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDead
	}
	return nil
}

func (l *life) kill() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	return errDead
}

// disks are directories.
type disks struct {
	dir string
	*life
}

func (d disks) Open(_ context.Context, name string, _ uint64) (string, error) {
	path := filepath.Join(d.dir, name)
	return path, errors.Join(d.err(), os.MkdirAll(path, 0o700))
}

func (d disks) Remove(_ context.Context, name string) error {
	if err := d.err(); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(d.dir, name))
}

func (d disks) List() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, errors.Join(err, d.err())
}

// images keeps one image and counts how often one is sealed.
type images struct {
	mu     sync.Mutex
	img    *provider.Image
	key    []byte
	owners map[provider.InstanceID]bool
	sealed int
}

type imagesOf struct {
	*images
	*life
}

func (i imagesOf) Import(_ context.Context, img *oci.Image, owner provider.InstanceID, _ func(done, total int64)) (manifest.Image, []byte, error) {
	i.images.mu.Lock()
	defer i.images.mu.Unlock()
	i.owners[owner] = true
	i.sealed++
	return manifest.Image{CID: img.ID(), ImageID: img.ID()}, i.key, i.err()
}

func (i imagesOf) Fetch(_ context.Context, owner provider.InstanceID, _ provider.ImageRequest, _ func(provider.Progress)) (*provider.Image, error) {
	i.images.mu.Lock()
	defer i.images.mu.Unlock()
	if !i.owners[owner] {
		return nil, errors.New("not here")
	}
	return i.img, i.err()
}

func (i imagesOf) Release(_ context.Context, owner provider.InstanceID) error {
	if err := i.err(); err != nil {
		return err
	}
	i.images.mu.Lock()
	defer i.images.mu.Unlock()
	delete(i.owners, owner)
	return nil
}

func (i imagesOf) Owners(context.Context) ([]provider.InstanceID, error) {
	i.images.mu.Lock()
	defer i.images.mu.Unlock()
	var out []provider.InstanceID
	for o := range i.owners {
		out = append(out, o)
	}
	return out, i.err()
}

// mortal is a fake that a killed process cannot reach.
type mortal struct {
	*runtimetest.Fake
	*life
}

func (m mortal) Create(ctx context.Context, s provider.InstanceSpec, f func(provider.Progress)) (provider.Created, error) {
	if err := m.err(); err != nil {
		return provider.Created{}, err
	}
	return m.Fake.Create(ctx, s, f)
}

func (m mortal) Start(ctx context.Context, id provider.InstanceID) error {
	return errors.Join(m.err(), m.Fake.Start(ctx, id))
}

func (m mortal) Remove(ctx context.Context, id provider.InstanceID, grace time.Duration) error {
	if err := m.err(); err != nil {
		return err
	}
	return m.Fake.Remove(ctx, id, grace)
}

func (m mortal) RemoveVolumes(ctx context.Context, pod provider.PodID) error {
	if err := m.err(); err != nil {
		return err
	}
	return m.Fake.RemoveVolumes(ctx, pod)
}

// world is a machine that outlives processes.
type world struct {
	t      *testing.T
	fake   *runtimetest.Fake
	images *images
	dir    string
	base   *oci.Image
	now    time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	img, key := runtimetest.Build(t, runtimetest.Image{Config: ocispec.ImageConfig{Env: []string{"PATH=/bin"}}})
	w := &world{
		t: t, fake: runtimetest.NewFake(t), images: &images{img: img, key: key, owners: map[provider.InstanceID]bool{}}, dir: t.TempDir(),
		base: &oci.Image{Config: img.Config}, now: time.Unix(1_700_000_000, 0),
	}
	if err := os.MkdirAll(w.disks(), 0o700); err != nil {
		t.Fatal(err)
	}
	w.fake.Disks = disks{w.disks(), &life{}}
	return w
}

func (w *world) disks() string { return filepath.Join(w.dir, "disks") }

// pods is a new process.
func (w *world) pods(change ...func(*Config)) *Pods {
	w.t.Helper()
	l := &life{}
	cfg := Config{
		Runtime: mortal{w.fake, l}, Importer: imagesOf{w.images, l}, Images: imagesOf{w.images, l}, Disks: disks{w.disks(), l},
		Dir: filepath.Join(w.dir, "state"), quiet: 30 * time.Millisecond, Defaults: Limits{Time: 20 * time.Second, DiskBytes: 8 << 20, CacheBytes: 1 << 20},
		Now: func() time.Time { w.now = w.now.Add(time.Second); return w.now },
	}
	for _, c := range change {
		c(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) job(namespace string, script ...string) build.Job {
	return build.Job{Namespace: namespace, Name: "app", Image: w.base, Argv: append([]string{runtimetest.Probe}, script...)}
}

// run runs a job and returns its log.
func (w *world) run(p *Pods, j build.Job) string {
	w.t.Helper()
	var log bytes.Buffer
	j.Log = &log
	if err := p.Run(w.t.Context(), j); err != nil {
		w.t.Fatalf("%v\n%s", err, log.String())
	}
	return log.String()
}

// left names what is here of builds, without caches and bases.
func (w *world) left() []string {
	w.t.Helper()
	var out []string
	all, err := w.fake.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, in := range all {
		if !strings.Contains(string(in.Pod), "-warm") {
			out = append(out, string(in.ID))
		}
	}
	entries, err := os.ReadDir(w.disks())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if _, volume, _ := strings.Cut(e.Name(), "."); !strings.HasPrefix(volume, cachePrefix) {
			out = append(out, e.Name())
		}
	}
	return out
}

func (w *world) caches() []string {
	w.t.Helper()
	names, err := disks{w.disks(), &life{}}.List()
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, "."+cachePrefix) })
}
