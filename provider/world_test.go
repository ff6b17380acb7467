package provider_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"apocryph/attest/device/soft"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/runtimetest"
)

// device is one software device for all tests: making its keys takes long.
var device struct {
	dir, binary string
	made        time.Time
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "provider")
	if err != nil {
		panic(err)
	}
	device.dir, device.binary, device.made = dir, filepath.Join(dir, "program"), time.Now()
	if err := os.WriteFile(device.binary, []byte("a program"), 0o700); err != nil {
		panic(err)
	}
	if _, err := soft.Open(dir, device.binary, time.Now); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks the class and reason of an error.
func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

// peerID is the binary peer id of an Ed25519 key that ends in n.
func peerID(n byte) []byte {
	return append([]byte{0, 0x24, 8, 1, 0x12, 0x20}, bytes.Repeat([]byte{n}, 32)...)
}

// world is what outlives a provider's process: its disk, its containers, and
// the images that publishers serve.
type world struct {
	t      *testing.T
	rt     *runtimetest.Fake
	store  *memory
	images *warehouse
	log    *scroll
	book   *ledgerBook
	start  time.Time

	mu sync.Mutex
	// crashAt is the port call, counted from 1 and before and after it, at which
	// the process dies; 0 means never.
	crashAt, points int
	last            string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, rt: runtimetest.NewFake(t), start: time.Now()}
	w.book = &ledgerBook{}
	w.log = &scroll{openings: map[provider.PodID][]provider.LogOpening{}}
	w.store = &memory{records: map[provider.PodID]provider.Record{}}
	w.images = &warehouse{stock: map[string]*provider.Image{}, owners: map[provider.InstanceID]map[string]bool{}, gates: map[string]chan struct{}{}}
	return w
}

// now is a clock that starts when the device was made, also in a bubble of
// testing/synctest, whose own starts in 2000.
func (w *world) now() time.Time { return device.made.Add(time.Since(w.start)) }

// memory is a Store.
type memory struct {
	mu      sync.Mutex
	records map[provider.PodID]provider.Record
	// fail is returned by the next changes.
	fail error
	// states are those that were stored, in order.
	states []provider.State
	pasts  map[provider.PodID]map[uint64]provider.Past
}

func (m *memory) Save(ctx context.Context, r provider.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.fail, ctx.Err()); err != nil {
		return err
	}
	if r.Locked {
		return errors.New("a locked record was stored")
	}
	if have, ok := m.records[r.ID]; !ok || have.State != r.State || have.Revision != r.Revision {
		m.states = append(m.states, r.State)
	}
	m.records[r.ID] = r
	return nil
}

func (m *memory) Load(context.Context) ([]provider.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.records)), m.fail
}

func (m *memory) Delete(ctx context.Context, id provider.PodID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.fail, ctx.Err()); err != nil {
		return err
	}
	delete(m.records, id)
	delete(m.pasts, id)
	return nil
}

func (m *memory) SavePast(ctx context.Context, r provider.Past) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.fail, ctx.Err()); err != nil {
		return err
	}
	if _, ok := m.records[r.Pod]; !ok {
		return errors.New("no pod has this revision")
	}
	if m.pasts == nil {
		m.pasts = map[provider.PodID]map[uint64]provider.Past{}
	}
	if m.pasts[r.Pod] == nil {
		m.pasts[r.Pod] = map[uint64]provider.Past{}
	}
	m.pasts[r.Pod][r.Revision] = r
	return nil
}

func (m *memory) Pasts(_ context.Context, id provider.PodID) ([]provider.Past, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []provider.Past
	for _, n := range slices.Sorted(maps.Keys(m.pasts[id])) {
		out = append(out, m.pasts[id][n])
	}
	return out, nil
}

func (m *memory) DropPast(_ context.Context, id provider.PodID, revision uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pasts[id], revision)
	return nil
}

func (m *memory) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// warehouse is an Images.
type warehouse struct {
	mu     sync.Mutex
	stock  map[string]*provider.Image
	owners map[provider.InstanceID]map[string]bool
	// gates hold up the fetch of an image until they are closed.
	gates map[string]chan struct{}
	// fail is returned by every fetch.
	fail error
}

func (h *warehouse) Fetch(ctx context.Context, owner provider.InstanceID, req provider.ImageRequest, report func(provider.Progress)) (*provider.Image, error) {
	h.mu.Lock()
	img, gate, fail := h.stock[req.CID], h.gates[req.CID], h.fail
	if h.owners[owner] == nil {
		h.owners[owner] = map[string]bool{}
	}
	h.owners[owner][req.CID] = true
	h.mu.Unlock()
	report(provider.Progress{Stage: provider.StageFetching, Done: 1, Total: 2, Source: "peer"})
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail != nil {
		return nil, fail
	}
	if img == nil {
		return nil, status.New(status.Unavailable, "content.unavailable", "nobody has %s", req.CID)
	}
	return img, ctx.Err()
}

func (h *warehouse) Release(_ context.Context, owner provider.InstanceID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.owners, owner)
	return nil
}

func (h *warehouse) Owners(context.Context) ([]provider.InstanceID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.owners)), nil
}

// gate holds up fetches of an image until the returned function is called.
func (h *warehouse) gate(img manifest.Image) (open func()) {
	ch := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gates[img.CID] = ch
	return func() { close(ch) }
}

// image makes a plain image that runs a script of runtimetest and puts it into
// the warehouse.
func (w *world) image(script ...string) manifest.Image {
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	must(w.t, tw.WriteHeader(&tar.Header{Name: "file", Mode: 0o600, Size: int64(len(script))}))
	_, err := tw.Write(make([]byte, len(script)))
	must(w.t, err)
	must(w.t, tw.Close())
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config:   ocispec.ImageConfig{Entrypoint: append([]string{runtimetest.Probe}, script...)},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer.Bytes())}},
	})
	must(w.t, err)
	return w.stock(&provider.Image{
		Manifest: []byte("{}"), Config: config,
		Layers: []provider.Layer{runtimetest.Layer(ocispec.MediaTypeImageLayer, layer.Bytes(), nil)},
	})
}

func (w *world) stock(img *provider.Image) manifest.Image {
	sum := sha256.Sum256(img.Config)
	mh, err := multihash.Encode(sum[:], multihash.SHA2_256)
	must(w.t, err)
	root := cid.NewCidV1(cid.DagProtobuf, mh).String()
	w.images.mu.Lock()
	defer w.images.mu.Unlock()
	w.images.stock[root] = img
	id := digest.FromBytes(img.Config).String()
	return manifest.Image{CID: root, EncryptedDigest: id, ImageID: id}
}

// app is a manifest with one container.
func app(name string, img manifest.Image, change ...func(*manifest.Manifest)) *manifest.Manifest {
	m := &manifest.Manifest{
		Name: name, RuntimeClass: "runc", Replicas: manifest.Replicas{Min: 1, Max: 1},
		Containers: []manifest.Container{{
			Name: "web", Image: img, Resources: manifest.Resources{CPUMillis: 100, MemoryBytes: 64 << 20, PIDs: 16},
		}},
	}
	for _, f := range change {
		f(m)
	}
	return m
}

// host gives the app an HTTP port with a host of its own, which no probe can
// reach in a fake: a check of another kind goes with it.
func host(name string) func(*manifest.Manifest) {
	return func(m *manifest.Manifest) {
		m.Containers[0].Ports = []manifest.Port{{TargetPort: 8080, Protocol: manifest.HTTP, Host: name}}
		checked(runtimetest.Probe, "exit", "0")(m)
	}
}

// checked gives the app a command as its health check.
func checked(argv ...string) func(*manifest.Manifest) {
	return func(m *manifest.Manifest) {
		m.Containers[0].Health = &manifest.Health{Command: argv, Interval: 5 * time.Second, Timeout: time.Second, Start: 20 * time.Second, Failures: 2}
	}
}

// stock is a Capacity and its Charges: one resource.
type stock struct {
	mu      sync.Mutex
	total   uint64
	charged map[provider.PodID]uint64
}

func (s *stock) Quote(_ context.Context, _ provider.PublisherID, needs offer.Needs) (offer.Offer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := needs.Total()
	o := offer.Offer{Provider: peerID(0), Publisher: peerID(1), ID: "o", NotAfter: time.UnixMilli(1 << 40), TotalPerHour: "0", Available: t.CPUMillis <= s.total}
	o.Resources = []offer.ResourceOffer{{Resource: "cpu", Requested: fmt.Sprint(t.CPUMillis), Available: fmt.Sprint(s.total), Offered: o.Available, Reason: "too few"}}
	return o, err
}

func (s *stock) Commit(_ context.Context, _ provider.PublisherID, pod provider.PodID, needs offer.Needs, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := needs.Total()
	if err != nil {
		return err
	}
	var others uint64
	for id, n := range s.charged {
		if id != pod {
			others += n
		}
	}
	if others+t.CPUMillis > s.total {
		return status.New(status.ResourceExhausted, "capacity.cpu", "not enough cpu")
	}
	s.charged[pod] = t.CPUMillis
	return nil
}

func (s *stock) Release(pod provider.PodID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.charged, pod)
}

func (s *stock) Restore(pod provider.PodID, needs offer.Needs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, _ := needs.Total()
	s.charged[pod] = t.CPUMillis
}

// switchboard is Names and Routes.
type switchboard struct {
	mu     sync.Mutex
	hosts  map[string]provider.PodID
	routes map[provider.PodID]route
	// history is every publication, to look for addresses that should not be there.
	onPublish func(provider.PodID, []string)
}

type route struct {
	endpoints []provider.Endpoint
	backends  []string
	to        []provider.Backend
	why       string
}

func (b *switchboard) Assign(_ provider.PublisherID, pod provider.PodID, m *manifest.Manifest, _ []provider.Endpoint) ([]provider.Endpoint, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []provider.Endpoint
	for _, c := range m.Containers {
		for _, p := range c.Ports {
			if owner, ok := b.hosts[p.Host]; ok && owner != pod {
				return nil, status.New(status.Conflict, "ingress.taken", "host %s is held by another pod", p.Host)
			}
			out = append(out, provider.Endpoint{Container: c.Name, Target: p.TargetPort, Protocol: p.Protocol, Host: p.Host, URL: "http://" + p.Host + "/"})
		}
	}
	for _, e := range out {
		b.hosts[e.Host] = pod
	}
	return out, nil
}

func (b *switchboard) Publish(pod provider.PodID, endpoints []provider.Endpoint, to []provider.Backend) error {
	var backends []string
	for _, b := range to {
		backends = append(backends, b.Addr)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.hosts, func(_ string, owner provider.PodID) bool { return owner == pod })
	for _, e := range endpoints {
		b.hosts[e.Host] = pod
	}
	b.routes[pod] = route{endpoints: endpoints, backends: backends, to: to}
	if b.onPublish != nil {
		b.onPublish(pod, backends)
	}
	return nil
}

// Drain ends at once: nothing is ever under way.
func (b *switchboard) Drain(context.Context, provider.PodID) {}

func (b *switchboard) Explain(pod provider.PodID, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.routes[pod]; ok {
		r.why = why
		b.routes[pod] = r
	}
}

func (b *switchboard) Withdraw(pod provider.PodID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.hosts, func(_ string, owner provider.PodID) bool { return owner == pod })
	delete(b.routes, pod)
}

func (b *switchboard) of(pod provider.PodID) route {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.routes[pod]
}
