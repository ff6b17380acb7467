package publisher_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/device/soft"
	"apocryph/attest/keyrelease"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/attest/receipt"
	"apocryph/attest/verify"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// Two software devices for all tests, for making their keys takes long: the
// policy of most tests names the first one. The third is the first with another
// program.
var good, other, changed *soft.Device

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "publisher")
	if err != nil {
		panic(err)
	}
	open := func(name, text string) *soft.Device {
		sub := filepath.Join(dir, name)
		if err := os.MkdirAll(sub, 0o700); err != nil {
			panic(err)
		}
		program := filepath.Join(sub, "program")
		if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
			panic(err)
		}
		d, err := soft.Open(sub, program, time.Now)
		if err != nil {
			panic(err)
		}
		return d
	}
	good, other = open("good", "a program"), open("other", "a program")
	changed = open("good", "another program")
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

// peerID is the binary peer id of an Ed25519 key of one repeated byte.
func peerID(n byte) []byte {
	return append([]byte{0, 0x24, 8, 1, 0x12, 0x20}, bytes.Repeat([]byte{n}, 32)...)
}

// me is the publisher of all tests.
var me = peerID('m')

// world is all that a publisher talks to, and what it did in order.
type world struct {
	t *testing.T
	publisher.Config
	nets map[publisher.ProviderID]*fake
	// order is that in which providers are found.
	order []publisher.ProviderID

	mu     sync.Mutex
	did    []string
	apps   map[string]publisher.App
	orders []publisher.Order
	clock  time.Time
	// onSeal runs while an image is sealed.
	onSeal func()
	events []publisher.Event
	// follow is the log stream of every pod; nil for an empty one.
	follow func(context.Context, func(publisher.LogLine) error) error
}

// fake is a provider.
type fake struct {
	w      *world
	id     publisher.ProviderID
	peer   []byte
	device *soft.Device
	hpke   *keyrelease.PrivateKey
	sign   ed25519.PrivateKey
	price  string
	// short makes its offers fall short, down makes it unreachable, mute is a
	// node that speaks no protocol yet.
	short, down, mute bool
	// pods are what it has, by name.
	pods map[string]publisher.PodStatus
	// refuse is its answer to a provision; lost breaks the status call, too.
	refuse error
	lost   bool
	// endpoints are what it answers.
	endpoints []publisher.Endpoint

	claims func(*attest.Claims)
	offer  func(*offer.Offer)
	signed func(*offer.Signed)
	result func(*publisher.Provisioned)
	// receipted changes a receipt before it is signed, and returns the key for it.
	receipted func(*receipt.Receipt) ed25519.PrivateKey
	// relays is the provider whose evidence it passes on as its own.
	relays *fake
	// book is its transparency log; nil for a provider without one.
	book *book

	// kept is what it can go back to, oldest first, and restores its answer to a
	// rollback before it is signed.
	kept     []keptRevision
	restores func(*publisher.Provisioned)
	// rollbacks are those that were asked for, broken how many streams break first.
	rollbacks []publisher.PodRollback
	broken    int
	// dry is its answer to a dry run.
	dry *publisher.DryRunAnswer

	// built are statements about its builds; logged are the builds in its pod log, which
	// it has none of where that is nil.
	built  [][]byte
	logged []podlog.BuildDone

	nonces, provisions int
	// issued are the claims that it made, and until when they are good.
	issued map[[32]byte]time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, nets: map[publisher.ProviderID]*fake{}, apps: map[string]publisher.App{}, clock: time.Now()}
	w.Config = publisher.Config{
		Peer: me, Resolver: w, Sealer: w, Content: w, Finder: w, Connection: w, Providers: w, Codec: w, Pods: pods{w}, Revisions: pods{w}, Apps: apps{w}, Machines: nowhere{}, Counters: &counters{}, Keys: w, Policies: policies{}, Logs: &memoryLogs{}, Now: w.now,
	}
	return w
}

func (w *world) service() *publisher.Service { return publisher.New(w.Config) }

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did = append(w.did, fmt.Sprintf(format, args...))
}

// done are the things of a kind that were done.
func (w *world) done(kinds ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, d := range w.did {
		kind, _, _ := strings.Cut(d, " ")
		if slices.Contains(kinds, kind) {
			out = append(out, d)
		}
	}
	return out
}

// provider adds a provider that is found after those before.
func (w *world) provider(name string, change ...func(*fake)) *fake {
	hpke, err := keyrelease.NewKey(rand.Reader)
	must(w.t, err)
	_, sign, err := ed25519.GenerateKey(rand.Reader)
	must(w.t, err)
	f := &fake{w: w, id: publisher.ProviderID(name), peer: peerID(name[0]), device: good, hpke: hpke, sign: sign, price: "1", pods: map[string]publisher.PodStatus{}}
	for _, c := range change {
		c(f)
	}
	w.nets[f.id] = f
	w.order = append(w.order, f.id)
	return f
}

// policy names the first software device and nothing else.
func (w *world) policy() *policy.Policy {
	ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: me, ProviderPeer: peerID('x')}
	ch.Nonce[0] = 1
	f := &fake{w: w, device: good, peer: peerID('x')}
	var err error
	f.hpke, err = keyrelease.NewKey(rand.Reader)
	must(w.t, err)
	_, f.sign, err = ed25519.GenerateKey(rand.Reader)
	must(w.t, err)
	a, err := f.attest(publisher.AttestRequest{Challenge: ch})
	must(w.t, err)
	r, err := verify.Evidence(a.Evidence, a.Claims, ch, nil, verify.RootsShown(nil, a.Evidence), w.now())
	must(w.t, err)
	return policy.FromResult([]*attest.Result{r})
}

// request is a deploy of an app with one container.
func (w *world) request(change ...func(*publisher.DeployRequest)) publisher.DeployRequest {
	r := publisher.DeployRequest{
		Manifest: &manifest.Manifest{
			Name: "app", RuntimeClass: "runc", Replicas: manifest.Replicas{Min: 1, Max: 1},
			Containers: []manifest.Container{{
				Name: "web", Image: manifest.Image{Ref: "oci:image"}, Resources: manifest.Resources{CPUMillis: 100, MemoryBytes: 64 << 20, PIDs: 16},
			}},
		},
		Dir: w.t.TempDir(), Policy: w.policy(), PolicyFile: []byte("the policy"), Payment: offer.Payment{Scheme: "none"}, Platform: "linux/amd64",
		Report: func(e publisher.Event) { w.events = append(w.events, e) },
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

func to(f *fake) func(*publisher.DeployRequest) {
	return func(r *publisher.DeployRequest) {
		r.Provider = &publisher.Target{ID: f.id, Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}
	}
}

// Resolve and Seal make an image of the reference's name.
func (w *world) Resolve(_ context.Context, ref, _, platform string) (*publisher.Image, error) {
	w.note("resolve %s %s", ref, platform)
	if ref == "oci:missing" {
		return nil, status.New(status.NotFound, "image.missing", "there is no image %s", ref)
	}
	return &publisher.Image{Source: ref, Config: []byte(ref)}, nil
}

func (w *world) Seal(ctx context.Context, img *publisher.Image, report func(done, total int64)) (*manifest.Sealed, error) {
	w.note("seal %s", img.Source)
	if w.onSeal != nil {
		w.onSeal()
	}
	report(1, 2)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(img.Source)))
	return &manifest.Sealed{Image: manifest.Image{EncryptedDigest: digest, ImageID: digest, KeyID: "k1"}, Key: []byte("the key")}, ctx.Err()
}

const rootCID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"

func (w *world) Publish(ctx context.Context, _ *manifest.Sealed, report func(done, total int64)) (string, error) {
	report(2, 2)
	w.note("publish")
	return rootCID, ctx.Err()
}

func (w *world) Grant(_ context.Context, cid string, p publisher.ProviderID) error {
	w.note("grant %s", p)
	return nil
}

func (w *world) Find(_ context.Context, q publisher.Query, found func(publisher.Candidate)) error {
	w.note("find %s", q.RuntimeClass)
	for _, id := range w.order {
		found(publisher.Candidate{Target: publisher.Target{ID: id}})
	}
	return nil
}

func (w *world) Connect(_ context.Context, t publisher.Target) ([]byte, error) {
	f := w.nets[t.ID]
	if f == nil || f.down {
		return nil, status.New(status.Unavailable, "peer.unreachable", "provider %s cannot be reached", t.ID)
	}
	return f.peer, nil
}

func (w *world) Attest(_ context.Context, id publisher.ProviderID, req publisher.AttestRequest, _ func(attest.TPMIdentity) (attest.Activation, error)) (*publisher.Attestation, error) {
	w.note("attest %s", id)
	f := w.nets[id]
	if f.mute {
		return nil, status.New(status.Unimplemented, "peer.protocol_missing", "provider %s does not speak attest", id)
	}
	if len(req.Accept) > 0 && !slices.Contains(req.Accept, f.device.Type()) {
		return nil, status.New(status.Untrusted, "attest.type", "it has %s", f.device.Type())
	}
	if f.relays != nil {
		f = f.relays
	}
	return f.attest(req)
}

func (f *fake) attest(req publisher.AttestRequest) (*publisher.Attestation, error) {
	f.nonces++
	out := &publisher.Attestation{}
	c := attest.Claims{
		Purpose: req.Challenge.Purpose, Nonce: req.Challenge.Nonce[:], VerifierPeer: req.Challenge.VerifierPeer, ProviderPeer: f.peer,
		HPKEPublicKey: f.hpke.PublicKey(), ReceiptPublicKey: f.sign.Public().(ed25519.PublicKey), BootEpoch: bytes.Repeat([]byte{1}, 32),
		Register: "none", Storage: "none", AgentVersion: "test", IssuedAt: f.w.now(), ExpiresAt: f.w.now().Add(10 * time.Minute),
	}
	if req.Needs != nil {
		s, err := f.quote(*req.Needs)
		if err != nil {
			return nil, err
		}
		out.Offer = &s
		digest := s.Digest()
		c.OfferDigest = digest[:]
	}
	if len(req.Images) > 0 {
		out.Built = f.built
	}
	if req.Log && f.logged != nil {
		out.Log = f.showLog(&c)
	}
	if f.claims != nil {
		f.claims(&c)
	}
	out.Claims = attest.EncodeClaims(&c)
	if f.issued == nil {
		f.issued = map[[32]byte]time.Time{}
	}
	f.issued[attest.ClaimsDigest(out.Claims)] = c.ExpiresAt
	if f.book != nil && req.Tree != nil {
		out.Tree = f.book.show(out.Claims, *req.Tree)
	}
	ev, err := f.device.Attest(f.w.t.Context(), out.Claims)
	out.Evidence = []attest.Evidence{ev}
	if f.signed != nil && out.Offer != nil {
		f.signed(out.Offer)
	}
	return out, err
}

func (w *world) Quote(_ context.Context, id publisher.ProviderID, needs offer.Needs) (offer.Signed, error) {
	w.note("quote %s reserve=%v", id, needs.Reserve)
	return w.nets[id].quote(needs)
}

func (f *fake) quote(needs offer.Needs) (offer.Signed, error) {
	digest, err := offer.RequestDigest(needs)
	if err != nil {
		return offer.Signed{}, err
	}
	o := offer.Offer{
		Provider: f.peer, Publisher: me, ID: "offer-" + string(f.id), RequestDigest: digest, NotAfter: f.w.now().Add(5 * time.Minute).Truncate(time.Millisecond),
		Asset: "USD", TotalPerHour: f.price, Available: true,
		Resources: []offer.ResourceOffer{{Resource: "cpu", Requested: "100m", Available: "4", Offered: true}},
	}
	if needs.Reserve {
		o.ReservationID = "reservation-" + string(f.id)
	}
	if f.short {
		o.Available, o.ReservationID = false, ""
		o.Resources[0] = offer.ResourceOffer{Resource: "cpu", Requested: "100m", Available: "0", Reason: "all is taken"}
	}
	if f.offer != nil {
		f.offer(&o)
	}
	return offer.Sign(o, f.sign)
}

func (w *world) EncodeOrder(o publisher.Order) ([]byte, error) {
	w.note("encode")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders = append(w.orders, o)
	return json.Marshal(o)
}

func (w *world) EncodeBuildSecret(b publisher.BuildSecret) ([]byte, error) {
	w.note("encode build")
	return json.Marshal(b)
}

func (w *world) Provision(ctx context.Context, id publisher.ProviderID, req publisher.ProvisionRequest, report func(publisher.Progress)) (publisher.Provisioned, error) {
	f := w.nets[id]
	w.note("provision %s %d", id, req.Operation)
	f.provisions++
	b, confirm, err := f.hpke.Open(req.Enc, req.Ciphertext, req.ClaimsDigest, req.RequestID)
	if err != nil {
		return publisher.Provisioned{}, err
	}
	var o publisher.Order
	if err := json.Unmarshal(b, &o); err != nil {
		return publisher.Provisioned{}, err
	}
	if !f.w.now().Before(f.issued[req.ClaimsDigest]) {
		return publisher.Provisioned{}, status.New(status.Untrusted, "provision.attestation", "no such attestation")
	}
	report(publisher.Progress{Stage: "accepted"})
	if f.refuse != nil {
		return publisher.Provisioned{}, f.refuse
	}
	digest := manifest.DigestOf(o.Manifest)
	if req.Operation == publisher.DryRun {
		out := publisher.Provisioned{PodID: "pod", Confirm: confirm, ManifestDigest: digest[:], Dry: f.dry}
		if f.result != nil {
			f.result(&out)
		}
		return out, nil
	}
	out := publisher.Provisioned{PodID: "pod", Revision: o.ExpectedRevision + 1, Endpoints: f.endpoints, Confirm: confirm, ManifestDigest: digest[:]}
	f.pods["app"] = publisher.PodStatus{PodID: "pod", Name: "app", Revision: out.Revision, State: "running"}
	if f.book != nil {
		out.Release = f.book.released(req.ClaimsDigest, o.Manifest, out.PodID)
	}
	f.kept = append(f.kept, keptRevision{out.Revision, o.Manifest, out.Release})
	if f.result != nil {
		f.result(&out)
	}
	if out.Receipt == nil && out.ManifestDigest != nil {
		out.Receipt, err = f.receipt(out, o.Manifest)
	}
	return out, errors.Join(err, ctx.Err())
}

// receipt is signed for what a provision answered.
func (f *fake) receipt(out publisher.Provisioned, b []byte) ([]byte, error) {
	m, err := manifest.Unmarshal(b)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromBytes(f.peer)
	if err != nil {
		return nil, err
	}
	r := receipt.Receipt{
		Provider: id.String(), PodID: out.PodID, Revision: out.Revision, Manifest: manifest.DigestOf(b), BootEpoch: bytes.Repeat([]byte{1}, 32),
		Started: f.w.now().Truncate(time.Millisecond), Issued: f.w.now().Truncate(time.Millisecond),
	}
	for _, c := range m.Containers {
		r.Images = append(r.Images, receipt.Image{Container: c.Name, ImageID: c.Image.ImageID, CID: c.Image.CID})
	}
	for _, e := range out.Endpoints {
		r.Endpoints = append(r.Endpoints, receipt.Endpoint{Container: e.Container, Protocol: string(e.Protocol), URL: e.URL})
	}
	key := f.sign
	if f.receipted != nil {
		key = f.receipted(&r)
	}
	return receipt.Sign(r, key)
}

// RememberKey notes which providers' receipts can be believed.
func (w *world) RememberKey(k client.AttestedKey) error {
	w.note("key %s", k.Provider)
	return nil
}
