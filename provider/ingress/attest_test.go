package ingress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/certs"
)

// notary is an Attester that signs nothing.
type notary struct {
	err   error
	gate  chan struct{}
	asked atomic.Int32
}

func (n *notary) AttestEndpoint(ctx context.Context, pod provider.PodID, host string, nonce [32]byte) (*attest.Endpoint, error) {
	n.asked.Add(1)
	if n.gate != nil {
		select {
		case <-n.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if n.err != nil {
		return nil, n.err
	}
	return &attest.Endpoint{Claims: []byte(string(pod) + " " + host + " " + hex.EncodeToString(nonce[:]))}, nil
}

func (n *notary) ActivateEndpoint(_ context.Context, a attest.Activate) (attest.Activated, error) {
	n.asked.Add(1)
	return attest.Activated{Proof: a.ClaimsDigest}, n.err
}

const (
	aNonce       = "00000000000000000000000000000000000000000000000000000000000000ff"
	evidenceURL  = "http://" + shopHost + attest.EndpointPath
	evidenceGood = evidenceURL + "?nonce=" + aNonce
)

// attended is an ingress with an app that must never see what is reserved.
func attended(t *testing.T, n *notary, change func(*Config)) *Ingress {
	t.Helper()
	i := run(t, change)
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "apocryph") {
			t.Errorf("the app was asked for %s", r.URL.Path)
		}
		_, _ = io.WriteString(w, "app")
	}))
	publish(t, i, assign(t, i, app(httpPort(port))), "127.0.0.1")
	if n != nil {
		i.Attend(n)
	}
	return i
}

func TestEvidence(t *testing.T) {
	n := &notary{}
	i := attended(t, n, nil)
	for _, h2 := range []bool{false, true} {
		code, body, header := get(t, client(t, i, h2), evidenceGood)
		e, err := attest.DecodeEndpoint([]byte(body))
		if code != 200 || err != nil || string(e.Claims) != string(podID)+" "+shopHost+" "+aNonce {
			t.Fatalf("got %d %v %+v", code, err, e)
		}
		for name, want := range map[string]string{"Content-Type": attest.EndpointType, "Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"} {
			if header.Get(name) != want {
				t.Errorf("%s: got %q, want %q", name, header.Get(name), want)
			}
		}
	}
	in := attest.Activate{ClaimsDigest: [32]byte{7}, Activation: attest.Activation{CredentialBlob: []byte{1}, EncryptedSecret: []byte{2}}}
	b, err := in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	res := send(t, i, http.MethodPost, evidenceURL, b)
	if out, err := attest.DecodeActivated(res.body); err != nil || out.Proof != in.ClaimsDigest {
		t.Errorf("got %s, %v", res.body, err)
	}
}

type reply struct {
	code   int
	header http.Header
	body   []byte
}

func send(t *testing.T, i *Ingress, method, url string, body []byte) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client(t, i, false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

// TestEvidenceRefusals are problem documents, and cost no quote.
func TestEvidenceRefusals(t *testing.T) {
	n := &notary{}
	i := attended(t, n, nil)
	for name, c := range map[string]struct {
		method, url string
		body        []byte
		code        int
		reason      string
	}{
		"no nonce":       {"GET", evidenceURL, nil, 400, "endpoint.nonce"},
		"short nonce":    {"GET", evidenceGood[:len(evidenceGood)-1], nil, 400, "endpoint.nonce"},
		"long nonce":     {"GET", evidenceGood + "0", nil, 400, "endpoint.nonce"},
		"no hex":         {"GET", evidenceGood[:len(evidenceGood)-1] + "g", nil, 400, "endpoint.nonce"},
		"zeros":          {"GET", evidenceURL + "?nonce=" + strings.Repeat("0", 64), nil, 400, "endpoint.nonce"},
		"two nonces":     {"GET", evidenceGood + "&nonce=" + aNonce, nil, 400, "endpoint.nonce"},
		"long query":     {"GET", evidenceGood + "&x=" + strings.Repeat("x", 2000), nil, 400, "endpoint.nonce"},
		"HEAD":           {"HEAD", evidenceGood, nil, 405, ""},
		"PUT":            {"PUT", evidenceGood, nil, 405, "endpoint.method"},
		"OPTIONS":        {"OPTIONS", evidenceGood, nil, 405, "endpoint.method"},
		"another host":   {"GET", strings.Replace(evidenceGood, "shop", "shoe", 1), nil, 404, "endpoint.host"},
		"another path":   {"GET", "http://" + shopHost + "/.well-known/apocryph/other", nil, 404, "endpoint.path"},
		"a slash more":   {"GET", strings.Replace(evidenceGood, "?", "/?", 1), nil, 404, "endpoint.path"},
		"a detour":       {"GET", "http://" + shopHost + "/x/..//.well-known/apocryph/attestation?nonce=" + aNonce, nil, 404, "endpoint.path"},
		"empty body":     {"POST", evidenceURL, nil, 400, ""},
		"bad body":       {"POST", evidenceURL, []byte(`{"version":"9"}`), 400, ""},
		"very long body": {"POST", evidenceURL, bytes.Repeat([]byte(" "), maxActivate+1), 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := send(t, i, c.method, c.url, c.body)
			if got.code != c.code || got.header.Get("Content-Type") != problem.ContentType || got.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("got %d %v\n%s", got.code, got.header, got.body)
			}
			if !strings.Contains(string(got.body), c.reason) {
				t.Errorf("got %s, want the reason %s", got.body, c.reason)
			}
		})
	}
	if n.asked.Load() != 0 {
		t.Errorf("%d were made all the same", n.asked.Load())
	}
	n.err = status.New(status.Unavailable, "pod.not_running", "the app is starting").WithRetryAfter(time.Second)
	if got := send(t, i, "GET", evidenceGood, nil); got.code != 503 || got.header.Get("Retry-After") != "1" {
		t.Errorf("got %d %s", got.code, got.body)
	}
	if got := send(t, attended(t, nil, nil), "GET", evidenceGood, nil); got.code != 503 {
		t.Errorf("before anybody attests: got %d %s", got.code, got.body)
	}
}

// TestEvidenceFlood refuses a client that asks without end, and serves another.
func TestEvidenceFlood(t *testing.T) {
	i := attended(t, &notary{}, nil)
	codes := map[int]int{}
	for range burst + 10 {
		got := send(t, i, "GET", evidenceGood, nil)
		codes[got.code]++
		if got.code == 429 && got.header.Get("Retry-After") == "" {
			t.Error("a refusal that does not say when to come again")
		}
	}
	if codes[200] < burst || codes[429] == 0 {
		t.Errorf("got %v", codes)
	}
	other := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
			return d.DialContext(ctx, network, i.Addr().String())
		},
	}}
	if code, body, _ := get(t, other, evidenceGood); code != 200 {
		t.Errorf("another client got %d %s", code, body)
	}
}

// TestTurnstile bounds the queue, per client and in all, and forgets.
func TestTurnstile(t *testing.T) {
	now := time.Now()
	ts := newTurnstile(func() time.Time { return now })
	leave, err := ts.enter(t.Context(), "first")
	if err != nil {
		t.Fatal(err)
	}
	for range maxQueuePerClient {
		if err := ts.queue("a"); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, ts.queue("a"), status.ResourceExhausted, "under way")
	for n := 0; ts.waiting < maxQueue; n++ {
		if err := ts.queue(string(rune('A' + n))); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, ts.queue("late"), status.ResourceExhausted, "at this moment")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ts.unqueue("a")
	if _, err := ts.enter(ctx, "gone"); err == nil {
		t.Error("passed a gate that is taken")
	}
	if ts.waiting != maxQueue-1 {
		t.Errorf("%d wait", ts.waiting)
	}
	leave()
	for n := range maxClients {
		ts.clients[string(rune(n+1000))] = &visitor{spent: 1, at: now}
	}
	wantCode(t, ts.queue("one more"), status.ResourceExhausted, "too many clients")
	now = now.Add(burst * refill)
	ts.unqueue("a")
	if err := ts.queue("one more"); err != nil {
		t.Error(err)
	}
}

// FuzzNonce accepts 64 hex digits that are not all zero, and nothing else.
func FuzzNonce(f *testing.F) {
	for _, s := range []string{"", "nonce=", "nonce=" + aNonce, "nonce=" + aNonce + "&nonce=" + aNonce, "nonce=%30" + aNonce[1:], "%", "a;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		nonce, err := parseNonce(s)
		if (err == nil) == (nonce == [32]byte{}) && err == nil {
			t.Fatalf("%q: %x, %v", s, nonce, err)
		}
		if err != nil && status.CodeOf(err) != status.InvalidArgument {
			t.Fatal(err)
		}
	})
}

// TestTLS shows one key for every host and speaks both versions of HTTP.
func TestTLS(t *testing.T) {
	ring, err := certs.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	i := attended(t, &notary{}, func(c *Config) { c.ListenTLS, c.Certificates = "127.0.0.1:0", ring })
	e := assign(t, i, app(httpPort(8080)))[0]
	if !strings.HasPrefix(e.URL, "https://"+shopHost+":") || e.Dial != i.AddrTLS().String() {
		t.Errorf("got the endpoint %+v", e)
	}
	ask := func(host string, h2 bool, most uint16) (*http.Response, error) {
		tr := &http.Transport{
			DisableKeepAlives: true, ForceAttemptHTTP2: h2,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: most},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, i.AddrTLS().String())
			},
		}
		return (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + host + "/")
	}
	for _, h2 := range []bool{false, true} {
		for host, code := range map[string]int{shopHost: 200, "nobody.localhost": 404} {
			res, err := ask(host, h2, 0)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			sum := sha256.Sum256(res.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if res.StatusCode != code || (res.ProtoMajor == 2) != h2 || !bytes.Equal(sum[:], ring.KeyDigest()) || res.TLS.PeerCertificates[0].VerifyHostname(host) != nil {
				t.Errorf("%s: got %d %s with the key %x", host, res.StatusCode, res.Proto, sum)
			}
		}
	}
	if _, err := ask("shop.example.org", false, 0); err == nil {
		t.Error("a certificate for a host that is not served")
	}
	if _, err := ask(shopHost, false, tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2")
	}
	wantAnswer(t, client(t, i, false), "http://"+shopHost+"/", 200, "app")
}
