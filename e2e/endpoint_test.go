package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/receipt"
	"apocryph/attest/verify"
	"apocryph/e2e/harness"
)

// user is somebody on the Internet who uses an app and trusts nobody yet.
type user struct {
	t      *testing.T
	client *http.Client
	url    *url.URL
}

// user dials the ingress from a loopback address of its own.
func newUser(t *testing.T, p *harness.Provider, rawURL, from string) *user {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "https" {
		t.Fatalf("the app's URL is %s", rawURL)
	}
	tr := &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
		// The evidence says whose key it is.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			return d.DialContext(ctx, network, p.Info.IngressTLS)
		},
	}
	return &user{t, &http.Client{Transport: tr, Timeout: 30 * time.Second}, u}
}

// do makes a request and returns the answer with the digest of the connection's key.
func (u *user) do(method, path string, body []byte, header ...string) (int, []byte, []byte) {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, u.url.ResolveReference(&url.URL{Path: path}).String(), bytes.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	if p, query, ok := strings.Cut(path, "?"); ok {
		req.URL.Path, req.URL.RawQuery = p, query
	}
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	res, err := u.client.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	key := sha256.Sum256(res.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
	return res.StatusCode, b, key[:]
}

// evidence is asked for and verified, as a stranger does.
func (u *user) evidence() (*attest.Result, receipt.Receipt) {
	u.t.Helper()
	ch := attest.Challenge{Purpose: attest.PurposeEndpoint, Host: u.url.Hostname()}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		u.t.Fatal(err)
	}
	code, body, key := u.do(http.MethodGet, attest.EndpointPath+"?nonce="+hex.EncodeToString(ch.Nonce[:]), nil)
	if code != 200 {
		u.t.Fatalf("evidence: got %d %s", code, body)
	}
	ch.TLSKey = key
	e, err := attest.DecodeEndpoint(body)
	if err != nil {
		u.t.Fatal(err)
	}
	roots := verify.RootsShown(e.Identity, e.Evidence)
	var expected *verify.Expected
	if e.Identity != nil {
		var a attest.Activation
		if a, expected, err = verify.NewActivation(*e.Identity, roots, rand.Reader, time.Now()); err != nil {
			u.t.Fatal(err)
		}
		ask, err := attest.Activate{ClaimsDigest: attest.ClaimsDigest(e.Claims), Activation: a}.Encode()
		if err != nil {
			u.t.Fatal(err)
		}
		code, body, _ := u.do(http.MethodPost, attest.EndpointPath, ask)
		proof, err := attest.DecodeActivated(body)
		if code != 200 || err != nil {
			u.t.Fatalf("activation: got %d %s, %v", code, body, err)
		}
		e.Evidence[0].TPM.ActivationProof = proof.Proof[:]
	}
	result, err := verify.Evidence(e.Evidence, e.Claims, ch, expected, roots, time.Now())
	if err != nil {
		u.t.Fatal(err)
	}
	other := ch
	other.TLSKey = bytes.Repeat([]byte{1}, 32)
	if _, err := verify.Evidence(e.Evidence, e.Claims, other, expected, roots, time.Now()); err == nil {
		u.t.Error("good for a connection with another key")
	}
	r, err := receipt.Open(e.Receipt, result.Claims.ReceiptPublicKey)
	if err != nil {
		u.t.Fatal(err)
	}
	if pod := result.Claims.Pod; pod == nil || pod.PodID != r.PodID || !bytes.Equal(pod.ManifestDigest, r.Manifest[:]) || pod.Images[0].ImageID != r.Images[0].ImageID {
		u.t.Errorf("the claims name the pod %+v, the receipt %+v", pod, r)
	}
	return result, r
}

// TestEndpoint is what a user of an app sees who trusts evidence alone.
func TestEndpoint(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider", "--ingress-tls", "127.0.0.1:0")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", app("hello", w.Image(0, 1), `env: {GREETING: hello one}`))
	first := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol, "--json").Object(t)
	u := newUser(t, p, first["url"].(string), "127.0.0.1")
	result, r := u.evidence()
	if r.Manifest.String() != first["manifest_digest"] || r.Revision != 1 {
		t.Errorf("the receipt is for %s, revision %d", r.Manifest, r.Revision)
	}
	if len(result.Claims.VerifierPeer) > 0 {
		t.Error("the claims name a verifier")
	}
	saved := w.Path("receipt")
	pub.Must("status", "hello", "--receipt", saved)
	kept, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Open(bytes.TrimSpace(kept), result.Claims.ReceiptPublicKey); err != nil {
		t.Errorf("the receipt that the publisher kept: %v", err)
	}

	if code, body, _ := u.do(http.MethodGet, "/", nil, "Apocryph-Expect", r.Manifest.String()); code != 200 || !strings.HasPrefix(string(body), "hello one") {
		t.Errorf("got %d %s", code, body)
	}
	w.Write("app.yaml", app("hello", w.Image(0, 1), `env: {GREETING: hello two}`))
	second := pub.Must("deploy", file, "--policy", pol, "--json").Object(t)
	code, body, _ := u.do(http.MethodGet, "/", nil, "Apocryph-Expect", r.Manifest.String())
	if code != http.StatusMisdirectedRequest || !strings.Contains(string(body), second["manifest_digest"].(string)) {
		t.Errorf("after the update: got %d %s", code, body)
	}
	if code, _, _ = u.do(http.MethodGet, "/", nil, "Apocryph-Expect", r.Images[0].ImageID); code != 200 {
		t.Errorf("the image is the same: got %d", code)
	}
	if _, r = u.evidence(); r.Revision != 2 {
		t.Errorf("got the receipt of revision %d", r.Revision)
	}

	refused := false
	for range 40 {
		code, _, _ := u.do(http.MethodGet, attest.EndpointPath+"?nonce="+strings.Repeat("ab", 32), nil)
		refused = refused || code == http.StatusTooManyRequests
	}
	if !refused {
		t.Error("nobody stops a flood")
	}
	newUser(t, p, second["url"].(string), "127.0.0.9").evidence()
}

// TestEndpointOfATPM takes one question more: do the keys sit in one machine?
func TestEndpointOfATPM(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider", "--tee", "tpm2", "--tpm", "unix:"+attesttest.SWTPM(t).Socket, "--ingress-tls", "127.0.0.1:0")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", app("vault", w.Image(0, 1)))
	got := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol, "--json").Object(t)
	u := newUser(t, p, got["url"].(string), "127.0.0.1")
	if result, _ := u.evidence(); result.TPM == nil {
		t.Errorf("got %+v", result)
	}
	ask, err := attest.Activate{ClaimsDigest: [32]byte{1}, Activation: attest.Activation{CredentialBlob: []byte{1}, EncryptedSecret: []byte{2}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if code, body, _ := u.do(http.MethodPost, attest.EndpointPath, ask); code != 404 {
		t.Errorf("an activation of claims that nobody got: %d %s", code, body)
	}
}
