package provider_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/attest"
	"apocryph/attest/device/soft"
	"apocryph/attest/keyrelease"
	"apocryph/attest/podlog"
	"apocryph/manifest"
	"apocryph/provider"
)

// node is one process of a provider.
type node struct {
	*provider.Service
	w      *world
	board  *switchboard
	stock  *stock
	cancel context.CancelFunc
	ended  chan error
	// dead is set by a crash: nothing that the process still does has an effect.
	dead atomic.Bool
}

// run starts a process on what is in the world.
func (w *world) run(change ...func(*provider.Config)) *node {
	w.t.Helper()
	n := w.boot(change...)
	select {
	case <-n.Ready():
	case err := <-n.ended:
		n.ended <- err
		if !n.dead.Load() {
			w.t.Fatalf("the service ended: %v", err)
		}
	}
	return n
}

func (w *world) boot(change ...func(*provider.Config)) *node {
	w.t.Helper()
	d, err := soft.Open(device.dir, device.binary, w.now)
	must(w.t, err)
	n := &node{
		w: w, ended: make(chan error, 1),
		board: &switchboard{hosts: map[string]provider.PodID{}, routes: map[provider.PodID]route{}},
		stock: &stock{total: 1000, charged: map[provider.PodID]uint64{}},
	}
	p := ports{n}
	cfg := provider.Config{
		Peer: peerID(0), Version: "test", Store: p, History: p, Runtime: p, Instances: p, Volumes: p, Logs: w.rt, Images: p,
		Capacity: n.stock, Charges: n.stock, Names: n.board, Routes: n.board, Drains: n.board, Device: d, Now: w.now,
		Log: p, Setup: setup, BootEpoch: []byte("boot"), Tree: bookPort{n}, Heads: bookPort{n},
	}
	for _, f := range change {
		f(&cfg)
	}
	n.Service, err = provider.New(cfg)
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.ended <- n.Run(ctx) }()
	w.t.Cleanup(n.stop)
	return n
}

// stop ends the process politely; it may be called again.
func (n *node) stop() {
	n.cancel()
	err := <-n.ended
	n.ended <- err
	if err != nil && !n.dead.Load() {
		n.w.t.Errorf("the service ended: %v", err)
	}
}

var errDead = errors.New("the process is dead")

// do makes one call of a port, unless the process dies before or after it.
func (n *node) do(name string, act func() error) error {
	if n.point("before " + name) {
		return errDead
	}
	err := act()
	if n.point("after " + name) {
		return errDead
	}
	return err
}

func (n *node) point(name string) (dead bool) {
	if n.dead.Load() {
		return true
	}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if n.w.points++; n.w.points == n.w.crashAt {
		n.w.last = name
		n.dead.Store(true)
		n.cancel()
		return true
	}
	return false
}

// ports are the ports of a process that lead out of it.
type ports struct{ n *node }

func (p ports) Save(ctx context.Context, r provider.Record) error {
	p.n.w.released(ctx, r)
	return p.n.do("save "+string(r.State), func() error { return p.n.w.store.Save(ctx, r) })
}

func (p ports) Load(ctx context.Context) ([]provider.Record, error) { return p.n.w.store.Load(ctx) }

func (p ports) Delete(ctx context.Context, id provider.PodID) error {
	return p.n.do("delete", func() error { return p.n.w.store.Delete(ctx, id) })
}

func (p ports) SavePast(ctx context.Context, r provider.Past) error {
	if r.Release != nil {
		// What comes back has to be able to prove its release.
		p.n.w.released(ctx, provider.Record{
			ID: r.Pod, Revision: r.Revision, Name: "in the history", ManifestDigest: r.ManifestDigest, Release: r.Release,
		})
	}
	return p.n.do("save past "+string(r.Outcome), func() error { return p.n.w.store.SavePast(ctx, r) })
}

func (p ports) Pasts(ctx context.Context, id provider.PodID) ([]provider.Past, error) {
	return p.n.w.store.Pasts(ctx, id)
}

func (p ports) DropPast(ctx context.Context, id provider.PodID, revision uint64) error {
	return p.n.do("drop past", func() error { return p.n.w.store.DropPast(ctx, id, revision) })
}

func (p ports) Fetch(ctx context.Context, owner provider.InstanceID, req provider.ImageRequest, report func(provider.Progress)) (img *provider.Image, err error) {
	err = p.n.do("fetch", func() error {
		img, err = p.n.w.images.Fetch(ctx, owner, req, report)
		return err
	})
	return img, err
}

func (p ports) Release(ctx context.Context, owner provider.InstanceID) error {
	return p.n.do("release", func() error { return p.n.w.images.Release(ctx, owner) })
}

func (p ports) Owners(ctx context.Context) ([]provider.InstanceID, error) {
	return p.n.w.images.Owners(ctx)
}

func (p ports) Create(ctx context.Context, s provider.InstanceSpec, report func(provider.Progress)) (made provider.Created, err error) {
	err = p.n.do("create", func() error {
		made, err = p.n.w.rt.Create(ctx, s, report)
		return err
	})
	return made, err
}

func (p ports) Start(ctx context.Context, id provider.InstanceID) error {
	return p.n.do("start", func() error { return p.n.w.rt.Start(ctx, id) })
}

func (p ports) Remove(ctx context.Context, id provider.InstanceID, grace time.Duration) error {
	return p.n.do("remove", func() error { return p.n.w.rt.Remove(ctx, id, grace) })
}

func (p ports) RemoveVolumes(ctx context.Context, pod provider.PodID) error {
	return p.n.do("remove volumes", func() error { return p.n.w.rt.RemoveVolumes(ctx, pod) })
}

func (p ports) Append(ctx context.Context, pod provider.PodID, e podlog.Event) error {
	if pod == "" {
		return p.n.w.log.Append(ctx, pod, e)
	}
	return p.n.do("log "+string(e.Type()), func() error { return p.n.w.log.Append(ctx, pod, e) })
}

func (p ports) Hold(ctx context.Context) (provider.HeldLog, error) { return p.n.w.log.Hold(ctx) }

func (p ports) Openings(ctx context.Context, pod provider.PodID) ([]provider.LogOpening, error) {
	return p.n.w.log.Openings(ctx, pod)
}

func (p ports) List(ctx context.Context) ([]provider.Instance, error) { return p.n.w.rt.List(ctx) }

func (p ports) Watch(ctx context.Context, fn func(provider.Exit)) error {
	return p.n.w.rt.Watch(ctx, fn)
}

func (p ports) Exec(ctx context.Context, id provider.InstanceID, container string, argv []string) (int, []byte, error) {
	return p.n.w.rt.Exec(ctx, id, container, argv)
}

// alice and bob are publishers.
const (
	alice = provider.PublisherID("alice")
	bob   = provider.PublisherID("bob")
)

func peerOf(p provider.PublisherID) []byte { return peerID(p[0]) }

// call is one provision request before it is sealed.
type call struct {
	publisher provider.PublisherID
	op        provider.Operation
	order     provider.Order
	id        [16]byte
	purpose   attest.Purpose
}

// requests numbers request ids.
var requests atomic.Uint64

// order is a call for a manifest; change may spoil it.
func order(t testing.TB, publisher provider.PublisherID, op provider.Operation, m *manifest.Manifest, change ...func(*call)) call {
	t.Helper()
	b, err := manifest.Marshal(m)
	must(t, err)
	c := call{
		publisher: publisher, op: op, purpose: attest.PurposeProvision,
		order: provider.Order{Manifest: b, PublisherPeer: peerOf(publisher)},
	}
	c.order.Payment.Scheme = "none"
	c.id[0], c.id[1], c.id[2] = 1, byte(requests.Add(1)), byte(requests.Load()>>8)
	for _, f := range change {
		f(&c)
	}
	return c
}

// replaces sets the revision that an update expects.
func replaces(n uint64) func(*call) { return func(c *call) { c.order.ExpectedRevision = n } }

func (n *node) attest(publisher provider.PublisherID, purpose attest.Purpose) (*attest.Claims, [32]byte) {
	n.w.t.Helper()
	ch := attest.Challenge{Purpose: purpose, VerifierPeer: peerOf(publisher), ProviderPeer: peerID(0)}
	_, err := rand.Read(ch.Nonce[:])
	must(n.w.t, err)
	a, err := n.Attest(n.w.t.Context(), publisher, provider.AttestRequest{Challenge: ch}, nil)
	must(n.w.t, err)
	claims, err := attest.DecodeClaims(a.Claims)
	must(n.w.t, err)
	return claims, attest.ClaimsDigest(a.Claims)
}

// sealed attests the node and seals a call to it. confirm is the answer that
// proves who opened it.
func (n *node) sealed(c call) (req provider.ProvisionRequest, confirm []byte) {
	n.w.t.Helper()
	claims, digest := n.attest(c.publisher, c.purpose)
	return seal(n.w.t, c, claims.HPKEPublicKey, digest)
}

func seal(t testing.TB, c call, pub []byte, digest [32]byte) (req provider.ProvisionRequest, confirm []byte) {
	t.Helper()
	b, err := json.Marshal(c.order)
	must(t, err)
	enc, ciphertext, confirm, err := keyrelease.Seal(pub, digest, c.id, b)
	must(t, err)
	return provider.ProvisionRequest{RequestID: c.id, ClaimsDigest: digest, Operation: c.op, Enc: enc, Ciphertext: ciphertext}, confirm
}

func decode(b []byte) (o provider.Order, err error) { return o, json.Unmarshal(b, &o) }

// send provisions and returns the stages that were reported.
func (n *node) send(ctx context.Context, c call, req provider.ProvisionRequest) (provider.Provisioned, []provider.Stage, error) {
	var mu sync.Mutex
	var stages []provider.Stage
	got, err := n.Provision(ctx, c.publisher, peerOf(c.publisher), req, decode, func(p provider.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
	})
	return got, stages, err
}

// provision attests, seals and sends, and checks who answered.
func (n *node) provision(c call) (provider.Provisioned, error) {
	n.w.t.Helper()
	req, confirm := n.sealed(c)
	got, _, err := n.send(n.w.t.Context(), c, req)
	if err == nil && !bytes.Equal(got.Confirm, confirm) {
		n.w.t.Error("the answer does not prove possession of the key")
	}
	return got, err
}

// deploy is a provision that has to succeed. What the service does after it has
// answered is done, too: what follows looks at its disk.
func (n *node) deploy(c call) provider.Provisioned {
	n.w.t.Helper()
	got, err := n.provision(c)
	must(n.w.t, err)
	synctest.Wait()
	return got
}

// later lets time pass in a bubble, until everybody waits again.
func later(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// instances are the ids of what the runtime has.
func (w *world) instances() []string {
	w.t.Helper()
	have, err := w.rt.List(w.t.Context())
	must(w.t, err)
	var out []string
	for _, i := range have {
		up := "down"
		if !slices.ContainsFunc(i.Containers, func(c provider.ContainerState) bool { return !c.Running }) {
			up = "up"
		}
		_, rest, _ := strings.Cut(string(i.ID), "-")
		out = append(out, rest+" "+up)
	}
	return out
}

// owners are the instances for which images are kept.
func (w *world) owners() []string {
	w.images.mu.Lock()
	defer w.images.mu.Unlock()
	var out []string
	for id := range w.images.owners {
		_, rest, _ := strings.Cut(string(id), "-")
		out = append(out, rest)
	}
	slices.Sort(out)
	return out
}

// has checks what is on the machine: instances as "REVISION-REPLICA up", images
// for exactly these, and charges for as many pods.
func (n *node) has(instances ...string) {
	n.w.t.Helper()
	if got := n.w.instances(); !slices.Equal(got, instances) {
		n.w.t.Errorf("instances: got %q, want %q", got, instances)
	}
	var owners []string
	for _, i := range instances {
		id, _, _ := strings.Cut(i, " ")
		owners = append(owners, id)
	}
	// Revisions that came up keep their images.
	for _, pasts := range n.w.store.pasts {
		for _, r := range pasts {
			if r.Outcome == provider.OutcomeUp && r.Manifest != nil {
				owners = append(owners, fmt.Sprintf("%d-0", r.Revision))
			}
		}
	}
	slices.Sort(owners)
	owners = slices.Compact(owners)
	if got := n.w.owners(); !slices.Equal(got, owners) {
		n.w.t.Errorf("images: got %q, want %q", got, owners)
	}
	n.stock.mu.Lock()
	defer n.stock.mu.Unlock()
	if len(instances) == 0 && len(n.stock.charged) > 0 {
		n.w.t.Errorf("still charged: %v", n.stock.charged)
	}
	n.board.mu.Lock()
	defer n.board.mu.Unlock()
	if len(instances) == 0 && len(n.board.hosts)+len(n.board.routes) > 0 {
		n.w.t.Errorf("still held: %v %v", n.board.hosts, n.board.routes)
	}
}

// state is the state of alice's pod "app", empty when there is none.
func (n *node) state() provider.State {
	n.w.t.Helper()
	views, err := n.List(n.w.t.Context(), alice)
	must(n.w.t, err)
	for _, v := range views {
		if v.Name == "app" {
			return v.State
		}
	}
	return ""
}

// watchful checks that nobody is sent to an instance that is removed.
type watchful struct {
	provider.Runtime
	t       *testing.T
	w       *world
	board   *switchboard
	removed int
	// running is the most instances that ran at once.
	running int
}

func (r *watchful) Start(ctx context.Context, id provider.InstanceID) error {
	err := r.Runtime.Start(ctx, id)
	up := slices.DeleteFunc(r.w.instances(), func(i string) bool { return strings.HasSuffix(i, "down") })
	r.running = max(r.running, len(up))
	return err
}

func (r *watchful) Remove(ctx context.Context, id provider.InstanceID, grace time.Duration) error {
	for _, i := range must1(r.w.rt.List(context.WithoutCancel(ctx))) {
		if i.ID != id {
			continue
		}
		r.removed++
		if got := r.board.of(i.Pod); slices.Contains(got.backends, i.IP) {
			r.t.Errorf("%s is removed while traffic goes to it", id)
		}
	}
	return r.Runtime.Remove(ctx, id, grace)
}

func (b *blinking) List(ctx context.Context) ([]provider.Instance, error) {
	if b.left.Add(-1) == 0 {
		return nil, b.err
	}
	return b.Instances.List(ctx)
}
