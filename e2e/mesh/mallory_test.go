package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"apocryph/attest"
	"apocryph/attest/device/soft"
	"apocryph/attest/keyrelease"
	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/capacitypb"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// mallory is a peer that speaks a provider's protocols. Without any change it
// answers as a good provider does, until it is to run something.
type mallory struct {
	t      *testing.T
	node   *p2p.Node
	key    crypto.PrivKey
	device *soft.Device
	hpke   *keyrelease.PrivateKey
	sign   ed25519.PrivateKey
	// vanish ends the node.
	vanish func()

	// claims, offer, signed and result change what is attested, what is offered,
	// the offer after it was signed and the answer after it was made.
	claims func(*attest.Claims)
	offer  func(*offer.Offer)
	signed func(*offer.Signed)
	result func(*attestpb.AttestResult)
	// attest, capacity, pod and provision replace whole answers.
	attest    func(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error
	capacity  func(ctx context.Context, s *rpc.ServerStream[*capacitypb.CapacityResponse], req *capacitypb.CapacityRequest) error
	pod       func(ctx context.Context, s *rpc.ServerStream[*podpb.PodResponse], req *podpb.PodRequest) error
	provision func(ctx context.Context, s *rpc.ServerStream[*podpb.ProvisionResponse], req *podpb.ProvisionRequest) error

	mu    sync.Mutex
	heard []proto.Message
}

// newMallory starts the peer, after changes, on the trusted machine.
func newMallory(t *testing.T, change func(*mallory)) *mallory {
	return onMachine(t, machines.trusted, change)
}

func onMachine(t *testing.T, machine string, change func(*mallory)) *mallory {
	t.Helper()
	m := &mallory{t: t}
	dir := filepath.Join(t.TempDir(), "soft")
	copyMachine(t, machine, dir)
	var err error
	m.device, err = soft.Open(dir, machines.program, time.Now)
	must(t, err)
	m.hpke, err = keyrelease.NewKey(rand.Reader)
	must(t, err)
	_, m.sign, err = ed25519.GenerateKey(rand.Reader)
	must(t, err)
	m.key = p2ptest.Key(t)
	m.node, m.vanish = mortal(t, m.key)
	m.attest, m.capacity, m.pod, m.provision = m.attests, m.quotes, m.hasNoPod, m.refuses
	if change != nil {
		change(m)
	}
	h := m.node.Host()
	stops := []func(){
		rpc.Handle(h, rpc.Attest, nil, func() *attestpb.AttestRequest { return new(attestpb.AttestRequest) }, listening(m, m.attest)),
		rpc.Handle(h, rpc.Capacity, nil, func() *capacitypb.CapacityRequest { return new(capacitypb.CapacityRequest) }, listening(m, m.capacity)),
		rpc.Handle(h, rpc.Pod, nil, func() *podpb.PodRequest { return new(podpb.PodRequest) }, listening(m, m.pod)),
		rpc.Handle(h, rpc.Provision, nil, func() *podpb.ProvisionRequest { return new(podpb.ProvisionRequest) }, listening(m, m.provision)),
	}
	t.Cleanup(func() {
		for _, stop := range stops {
			stop()
		}
	})
	return m
}

// mortal starts a node that can end before its test does.
func mortal(t *testing.T, key crypto.PrivKey) (n *p2p.Node, vanish func()) {
	t.Helper()
	n, err := p2p.New(p2p.Config{Identity: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Server: true})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	vanish = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended: %v", err)
		}
	})
	t.Cleanup(vanish)
	happens(t, "the node is ready", n.Ready())
	return n, vanish
}

// listening notes what a call asks before it is answered.
func listening[Req, Res proto.Message](m *mallory, serve func(context.Context, *rpc.ServerStream[Res], Req) error) func(context.Context, *rpc.ServerStream[Res], Req) error {
	return func(ctx context.Context, s *rpc.ServerStream[Res], req Req) error {
		m.mu.Lock()
		m.heard = append(m.heard, req)
		m.mu.Unlock()
		return serve(ctx, s, req)
	}
}

func (m *mallory) target() *publisher.Target { return targetOf(m.t, m.node.Addrs()[0].String()) }

// attests is the answer of a good provider.
func (m *mallory) attests(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
	result, err := m.evidence(ctx, req, []byte(s.Peer()))
	if err != nil {
		return err
	}
	if m.result != nil {
		m.result(result)
	}
	return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{Result: result}})
}

func (m *mallory) evidence(ctx context.Context, req *attestpb.AttestRequest, verifier []byte) (*attestpb.AttestResult, error) {
	now := time.Now()
	c := attest.Claims{
		Purpose: attest.PurposeProvision, Nonce: req.GetNonce(), VerifierPeer: verifier, ProviderPeer: []byte(m.node.ID()),
		HPKEPublicKey: m.hpke.PublicKey(), ReceiptPublicKey: m.sign.Public().(ed25519.PublicKey), BootEpoch: bytes.Repeat([]byte{1}, 32),
		Register: "none", Storage: "none", AgentVersion: "test", IssuedAt: now, ExpiresAt: now.Add(10 * time.Minute),
	}
	result := &attestpb.AttestResult{}
	if req.GetCapacity() != nil {
		signed, err := m.quote(req.GetCapacity(), verifier)
		if err != nil {
			return nil, err
		}
		digest := signed.Digest()
		result.Offer, c.OfferDigest = signed.ToWire(), digest[:]
	}
	if m.claims != nil {
		m.claims(&c)
	}
	result.Claims = attest.EncodeClaims(&c)
	ev, err := m.device.Attest(ctx, result.Claims)
	result.Evidence = attest.EvidenceToWire([]attest.Evidence{ev})
	return result, err
}

// quote offers all for nothing.
func (m *mallory) quote(req *capacitypb.CapacityRequest, to []byte) (offer.Signed, error) {
	needs, err := offer.NeedsFromWire(req)
	if err != nil {
		return offer.Signed{}, err
	}
	digest, err := offer.RequestDigest(needs)
	if err != nil {
		return offer.Signed{}, err
	}
	o := offer.Offer{
		Provider: []byte(m.node.ID()), Publisher: to, ID: "offer", RequestDigest: digest, TotalPerHour: "0", Available: true,
		NotAfter:  time.Now().Add(5 * time.Minute).Truncate(time.Millisecond),
		Resources: []offer.ResourceOffer{{Resource: "cpu", Requested: "100m", Available: "4", Offered: true}},
	}
	if needs.Reserve {
		o.ReservationID = "reservation"
	}
	if m.offer != nil {
		m.offer(&o)
	}
	signed, err := offer.Sign(o, m.sign)
	if m.signed != nil {
		m.signed(&signed)
	}
	return signed, err
}

func (m *mallory) quotes(_ context.Context, s *rpc.ServerStream[*capacitypb.CapacityResponse], req *capacitypb.CapacityRequest) error {
	signed, err := m.quote(req, []byte(s.Peer()))
	if err != nil {
		return err
	}
	return s.Send(&capacitypb.CapacityResponse{Body: &capacitypb.CapacityResponse_Result{Result: &capacitypb.CapacityResult{Offer: signed.ToWire()}}})
}

func (m *mallory) hasNoPod(context.Context, *rpc.ServerStream[*podpb.PodResponse], *podpb.PodRequest) error {
	return status.New(status.NotFound, "pod.unknown", "there is no such pod")
}

func (m *mallory) refuses(context.Context, *rpc.ServerStream[*podpb.ProvisionResponse], *podpb.ProvisionRequest) error {
	return status.New(status.ResourceExhausted, "capacity.cpu", "there is no room")
}

// accepts runs nothing and says that it does, with the confirmation that only
// the holder of the release key can give.
func (m *mallory) accepts(_ context.Context, s *rpc.ServerStream[*podpb.ProvisionResponse], req *podpb.ProvisionRequest) error {
	b, confirm, err := m.hpke.Open(req.GetEnc(), req.GetCiphertext(), [32]byte(req.GetClaimsDigest()), [16]byte(req.GetRequestId()))
	if err != nil {
		return err
	}
	var order podpb.SealedProvision
	if err := proto.Unmarshal(b, &order); err != nil {
		return err
	}
	digest := manifest.DigestOf(order.GetManifest())
	signed, err := m.receipt(order.GetManifest())
	if err != nil {
		return err
	}
	return s.Send(&podpb.ProvisionResponse{Body: &podpb.ProvisionResponse_Result{Result: &podpb.ProvisionResult{
		PodId: "pod", Revision: 1, Confirm: confirm, ManifestDigest: digest[:], Receipt: signed,
	}}})
}

// receipt says that all of a manifest runs.
func (m *mallory) receipt(order []byte) ([]byte, error) {
	what, err := manifest.Unmarshal(order)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	r := receipt.Receipt{
		Provider: m.node.ID().String(), PodID: "pod", Revision: 1, Manifest: manifest.DigestOf(order),
		BootEpoch: bytes.Repeat([]byte{1}, 32), Started: now, Issued: now,
	}
	for _, c := range what.Containers {
		r.Images = append(r.Images, receipt.Image{Container: c.Name, ImageID: c.Image.ImageID, CID: c.Image.CID})
	}
	return receipt.Sign(r, m.sign)
}

func peerOf(t *testing.T, key crypto.PrivKey) peer.ID {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return id
}
