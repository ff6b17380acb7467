package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/client"
	"apocryph/attest/device/soft"
	"apocryph/attest/device/tpm"
	"apocryph/attest/policy"
	"apocryph/attest/receipt"
	"apocryph/attest/verify"
	"apocryph/manifest"
	"apocryph/proto/problem"
	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "app.localhost"

// provider is the other side: an ingress with one app.
type provider struct {
	*httptest.Server
	tlsKey []byte
	device *soft.Device
	// tpm is nil for the software device alone; with composite it stands beside that.
	tpm       *tpm.Device
	composite bool
	key       ed25519.PrivateKey
	peer      []byte
	asked     atomic.Int64
	answers   atomic.Int64
	got       atomic.Int64 // bytes of bodies that the app read

	mu sync.Mutex
	// What a test changes before evidence is made, in the receipt, in the document
	// and in the answer.
	claims   func(*attest.Claims)
	receipt  func(*receipt.Receipt)
	document func(*attest.Endpoint)
	answer   http.HandlerFunc
	manifest manifest.Digest
	signer   ed25519.PrivateKey
	lifetime time.Duration
	now      func() time.Time
	setCert  func(*tls.Certificate)
}

// device is one for all tests: making its CA takes time and tests do not change it.
var device = sync.OnceValues(func() (*soft.Device, error) {
	dir, err := os.MkdirTemp("", "soft")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return soft.Open(dir, exe, time.Now)
})

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{peer: peerID(1), manifest: sha256.Sum256([]byte("revision 1")), lifetime: 5 * time.Minute, now: time.Now}
	var err error
	p.device, err = device()
	check(t, err)
	_, p.key, err = ed25519.GenerateKey(rand.Reader)
	check(t, err)
	p.signer = p.key
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.EnableHTTP2 = true
	p.rekey(t)
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// peerID is an identity multihash, as Ed25519 peers have it.
func peerID(seed byte) []byte {
	return append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, bytes.Repeat([]byte{seed}, 32)...)
}

// rekey gives the ingress a new TLS key; only for new connections.
func (p *provider) rekey(t testing.TB) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	p.mu.Lock()
	p.tlsKey = sum[:]
	p.mu.Unlock()
	if p.TLS == nil {
		current := &atomic.Pointer[tls.Certificate]{}
		p.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }}
		p.setCert = current.Store
	}
	p.setCert(cert)
}

func (p *provider) url() string {
	u, err := url.Parse(p.URL)
	if err != nil {
		panic(err)
	}
	return u.Scheme + "://" + net.JoinHostPort(host, u.Port())
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != attest.EndpointPath:
		p.app(w, r)
	case p.override(w, r):
	case r.Method == http.MethodPost:
		p.activate(w, r)
	default:
		p.asked.Add(1)
		b, err := p.evidence(r)
		if err != nil {
			problem.Write(w, r, err)
			return
		}
		w.Header().Set("Content-Type", attest.EndpointType)
		_, _ = w.Write(b)
	}
}

func (p *provider) override(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	answer := p.answer
	p.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
	return answer != nil
}

// app is what runs: it says which revision it is.
func (p *provider) app(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	runs := p.manifest.String()
	p.mu.Unlock()
	if want := r.Header.Get(client.ExpectHeader); want != "" && want != runs {
		w.Header().Set("Content-Type", problem.ContentType)
		w.WriteHeader(http.StatusMisdirectedRequest)
		_, _ = io.WriteString(w, `{"type":"urn:apocryph:problem:ingress.revision","title":"Misdirected","status":421,"detail":"runs `+runs+`"}`)
		return
	}
	n, _ := io.Copy(io.Discard, r.Body)
	p.got.Add(n)
	p.answers.Add(1)
	_, _ = io.WriteString(w, runs)
}

// evidence is what an honest provider answers, changed as the test likes.
func (p *provider) evidence(r *http.Request) ([]byte, error) {
	nonce, err := hex.DecodeString(r.URL.Query().Get("nonce"))
	if err != nil || len(nonce) != attest.NonceSize {
		return nil, status.New(status.InvalidArgument, "endpoint.nonce", "nonce: got %d bytes, want 32", len(nonce))
	}
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.make([attest.NonceSize]byte(nonce), name)
}

func (p *provider) make(nonce [attest.NonceSize]byte, name string) ([]byte, error) {
	now := p.now()
	c := attesttest.Claims(attest.Challenge{Purpose: attest.PurposeEndpoint, Nonce: nonce, Host: name, TLSKey: p.tlsKey}, now)
	c.ProviderPeer = p.peer
	c.ExpiresAt = c.IssuedAt.Add(p.lifetime)
	c.ReceiptPublicKey = p.key.Public().(ed25519.PublicKey)
	image := receipt.Image{Container: "web", ImageID: imageID, CID: "bafyweb"}
	c.Pod = &attest.PodClaims{
		PodID: "mzxw6ytboi", ManifestDigest: p.manifest[:],
		Images: []attest.ImageClaims{{Container: image.Container, CID: image.CID, ImageID: image.ImageID}},
	}
	made := receipt.Receipt{
		Provider: client.PeerText(p.peer), PodID: c.Pod.PodID, Revision: 1, Manifest: p.manifest,
		Images:    []receipt.Image{image},
		Endpoints: []receipt.Endpoint{{Container: "web", Protocol: "http", URL: "https://" + name + "/"}},
		BootEpoch: c.BootEpoch, Started: c.IssuedAt.Add(-time.Hour), Issued: c.IssuedAt,
	}
	if p.claims != nil {
		p.claims(c)
	}
	if p.receipt != nil {
		p.receipt(&made)
	}
	doc := attest.Endpoint{}
	var err error
	if doc.Receipt, err = receipt.Sign(made, p.signer); err != nil {
		return nil, err
	}
	if err := p.attest(c, &doc); err != nil {
		return nil, err
	}
	if p.document != nil {
		p.document(&doc)
	}
	return doc.Encode()
}

const imageID = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b"

// attest lets the provider's device sign the claims.
func (p *provider) attest(c *attest.Claims, doc *attest.Endpoint) (err error) {
	ctx := context.Background()
	var e attest.Evidence
	if p.composite {
		return p.attestBoth(ctx, c, doc)
	}
	if p.tpm == nil {
		doc.Claims = attest.EncodeClaims(c)
		e, err = p.device.Attest(ctx, doc.Claims)
	} else {
		id, err := p.tpm.Identity(ctx)
		if err != nil {
			return err
		}
		doc.Identity = &id
		if c.TPMAKName, err = p.tpm.AKName(ctx); err != nil {
			return err
		}
		doc.Claims = attest.EncodeClaims(c)
		if e, err = p.tpm.Attest(ctx, doc.Claims); err != nil {
			return err
		}
	}
	doc.Evidence = []attest.Evidence{e}
	return err
}

// attestBoth is composite evidence: a report whose claims name the TPM's key,
// and a quote by it.
func (p *provider) attestBoth(ctx context.Context, c *attest.Claims, doc *attest.Endpoint) error {
	id, err := p.tpm.Bound(ctx)
	if err != nil {
		return err
	}
	doc.Identity = &id
	if c.TPMAKName, err = p.tpm.AKName(ctx); err != nil {
		return err
	}
	doc.Claims = attest.EncodeClaims(c)
	report, err := p.device.Attest(ctx, doc.Claims)
	if err != nil {
		return err
	}
	quote, err := p.tpm.Attest(ctx, doc.Claims)
	if err != nil {
		return err
	}
	doc.Evidence = []attest.Evidence{report, quote}
	return nil
}

// activate proves that the TPM holds both keys.
func (p *provider) activate(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err == nil && p.tpm == nil {
		err = errors.New("a soft device has nothing to activate")
	}
	if err == nil {
		b, err = p.prove(b)
	}
	if err != nil {
		problem.Write(w, r, err)
		return
	}
	_, _ = w.Write(b)
}

func (p *provider) prove(b []byte) ([]byte, error) {
	a, err := attest.DecodeActivate(b)
	if err != nil {
		return nil, err
	}
	secret, err := p.tpm.Activate(context.Background(), a.Activation)
	if err != nil {
		return nil, err
	}
	return attest.Activated{Proof: [32]byte(attest.ActivationProof(secret, a.ClaimsDigest))}.Encode()
}

// set changes what the provider does, between requests.
func (p *provider) set(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// verifier trusts the provider's device as it is.
func (p *provider) verifier(t testing.TB) *client.Verifier {
	t.Helper()
	return &client.Verifier{Policy: p.policy(t)}
}

// policy is what `policy init --from` writes of the provider.
func (p *provider) policy(t testing.TB) *policy.Policy {
	t.Helper()
	ch := attesttest.EndpointChallenge(t)
	claims := attesttest.Claims(ch, time.Now())
	doc := &attest.Endpoint{}
	check(t, p.attest(claims, doc))
	var want *verify.Expected
	roots := verify.RootsShown(doc.Identity, doc.Evidence)
	switch {
	case p.composite:
		var err error
		want, err = verify.BoundAK(doc.Identity.AKPublic)
		check(t, err)
	case doc.Identity != nil:
		act, w, err := verify.NewActivation(*doc.Identity, roots, rand.Reader, time.Now())
		check(t, err)
		secret, err := p.tpm.Activate(t.Context(), act)
		check(t, err)
		doc.Evidence[0] = attest.ProveActivation(doc.Evidence[0], doc.Claims, secret)
		want = w
	}
	result, err := verify.Evidence(doc.Evidence, doc.Claims, ch, want, roots, time.Now())
	check(t, err)
	return policy.FromResult([]*attest.Result{result})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// denied checks that a report denies, by one check, and that the error says so.
func denied(t testing.TB, r *client.Report, err error, code, name string) {
	t.Helper()
	var d *client.DeniedError
	if !errors.As(err, &d) || d.Report != r || status.CodeOf(err) != status.Untrusted || r == nil {
		t.Fatalf("got %v with report %v, want a refusal of the report", err, r)
	}
	if r.Verdict.Affirmed || !r.Verdict.ExpiresAt.IsZero() || r.TLSKey != nil || r.Manifest() != "" {
		t.Errorf("a refusal lets trust out: %+v", r)
	}
	for i, c := range r.Verdict.Checks {
		if last := i == len(r.Verdict.Checks)-1; c.OK == last {
			t.Errorf("check %d of %d: %+v", i+1, len(r.Verdict.Checks), c)
		}
	}
	if c, _ := r.Verdict.Failed(); c.Code != code || name != "" && c.Name != name {
		t.Errorf("got %s %q (%v), want %s %q", c.Code, c.Name, err, code, name)
	}
}

// plainServer serves the same without TLS.
func plainServer(t testing.TB, p *provider) string {
	t.Helper()
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	check(t, err)
	return "http://" + net.JoinHostPort(host, port)
}

// dialTo connects to whoever has the name now.
func dialTo(target *atomic.Pointer[provider]) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, target.Load().Listener.Addr().String())
	}
}
