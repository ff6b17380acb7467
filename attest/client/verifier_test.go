package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/client"
	"apocryph/attest/device/tpm"
	"apocryph/attest/receipt"
	"apocryph/attest/verify"
	"apocryph/manifest"
	"apocryph/proto/status"
)

func TestVerify(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t)
	v.Expect = client.Expect{Manifest: &p.manifest, Images: []string{imageID}, Provider: client.PeerText(p.peer)}
	r, err := v.Verify(t.Context(), p.url()+"/any/path?query")
	check(t, err)
	if !r.Verdict.Affirmed || r.Verdict.Level != attest.LevelSoft || r.Host != host || r.Manifest() != p.manifest.String() {
		t.Errorf("got %+v", r)
	}
	if !bytes.Equal(r.TLSKey, p.tlsKey) || r.Receipt.PodID != "mzxw6ytboi" {
		t.Errorf("got key %x, receipt %+v", r.TLSKey, r.Receipt)
	}
	var codes []string
	for _, c := range r.Verdict.Checks {
		codes = append(codes, c.Code)
	}
	for _, want := range []string{"ATT-020", "ATT-021", "ATT-026", "ATT-041", "ATT-022", "ATT-110", "ATT-111", "ATT-114"} {
		if !slices.Contains(codes, want) {
			t.Errorf("no check %s in %v", want, codes)
		}
	}
}

// TestNobodyByDefault: the zero verifier affirms nobody.
func TestNobodyByDefault(t *testing.T) {
	p := newProvider(t)
	r, err := (&client.Verifier{}).Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-031", "")
}

// TestRefused has one dishonest provider a row.
func TestRefused(t *testing.T) {
	other := sha256.Sum256([]byte("another"))
	_, stranger, err := ed25519.GenerateKey(nil)
	check(t, err)
	tests := []struct {
		name   string
		change func(*provider)
		expect client.Expect
		code   string
		check  string
	}{
		{"another nonce", func(p *provider) { p.claims = func(c *attest.Claims) { c.Nonce[0] ^= 1 } }, client.Expect{}, "ATT-020", ""},
		{"for another host", func(p *provider) { p.claims = func(c *attest.Claims) { c.Host = "other.localhost" } }, client.Expect{}, "ATT-021", ""},
		{"for a peer", func(p *provider) { p.claims = func(c *attest.Claims) { c.VerifierPeer = []byte("a peer") } }, client.Expect{}, "ATT-021", ""},
		{"for a deploy", func(p *provider) {
			p.claims = func(c *attest.Claims) { c.Purpose, c.VerifierPeer = attest.PurposeProvision, []byte("a peer") }
		}, client.Expect{}, "ATT-025", ""},
		{"another TLS key", func(p *provider) { p.claims = func(c *attest.Claims) { c.IngressTLSKey = other[:] } }, client.Expect{}, "ATT-026", ""},
		{"no TLS key", func(p *provider) { p.claims = func(c *attest.Claims) { c.IngressTLSKey = nil } }, client.Expect{}, "ATT-026", ""},
		{"expired", func(p *provider) { p.now = func() time.Time { return time.Now().Add(-time.Hour) } }, client.Expect{}, "ATT-023", ""},
		{"no evidence", func(p *provider) { p.document = func(d *attest.Endpoint) { d.Evidence = nil } }, client.Expect{}, "ATT-011", ""},
		{"other claims", func(p *provider) {
			p.document = func(d *attest.Endpoint) {
				c, _ := attest.DecodeClaims(d.Claims)
				c.HPKEPublicKey = other[:]
				d.Claims = attest.EncodeClaims(c)
			}
		}, client.Expect{}, "ATT-041", ""},
		{"a quote without identity", func(p *provider) {
			p.document = func(d *attest.Endpoint) {
				d.Evidence = []attest.Evidence{{Type: attest.TPM2, TPM: &attest.TPMQuote{Quoted: []byte("q"), Signature: []byte("s")}}}
			}
		}, client.Expect{}, "ATT-092", ""},
		{"another provider", nil, client.Expect{Provider: client.PeerText(peerID(2))}, "ATT-022", ""},
		{"no pod", func(p *provider) { p.claims = func(c *attest.Claims) { c.Pod = nil } }, client.Expect{}, "ATT-110", ""},
		{"another manifest", nil, client.Expect{Manifest: (*manifest.Digest)(&other)}, "ATT-110", ""},
		{"another image", nil, client.Expect{Images: []string{"sha256:00"}}, "ATT-111", ""},
		{"no image", func(p *provider) { p.claims = func(c *attest.Claims) { c.Pod.Images = nil } }, client.Expect{}, "ATT-111", ""},
		{"no receipt", func(p *provider) { p.document = func(d *attest.Endpoint) { d.Receipt = nil } }, client.Expect{}, "ATT-114", "receipt: signed by the attested key"},
		{"a receipt by another key", func(p *provider) { p.signer = stranger }, client.Expect{}, "ATT-114", "receipt: signed by the attested key"},
		{"a broken receipt", func(p *provider) { p.document = func(d *attest.Endpoint) { d.Receipt = []byte(`{}`) } }, client.Expect{}, "ATT-114", "receipt: signed by the attested key"},
		{"a receipt of another provider", inReceipt(func(r *receipt.Receipt) { r.Provider = client.PeerText(peerID(2)) }), client.Expect{}, "ATT-114", "receipt: of this provider"},
		{"a receipt of an earlier boot", inReceipt(func(r *receipt.Receipt) { r.BootEpoch = []byte{1} }), client.Expect{}, "ATT-114", "receipt: of this boot"},
		{"a receipt of another pod", inReceipt(func(r *receipt.Receipt) { r.PodID = "another" }), client.Expect{}, "ATT-114", "receipt: of this pod"},
		{"a receipt of another manifest", inReceipt(func(r *receipt.Receipt) { r.Manifest = other }), client.Expect{}, "ATT-114", "receipt: of this manifest"},
		{"a receipt of more images", inReceipt(func(r *receipt.Receipt) {
			r.Images = append(r.Images, receipt.Image{Container: "side", ImageID: imageID, CID: "bafy"})
		}), client.Expect{}, "ATT-114", "receipt: of these images"},
		{"a receipt for another host", inReceipt(func(r *receipt.Receipt) { r.Endpoints[0].URL = "https://other.localhost/" }), client.Expect{}, "ATT-114", "receipt: names this host"},
		{"a receipt for a port of the host", inReceipt(func(r *receipt.Receipt) { r.Endpoints[0].Protocol = "tcp" }), client.Expect{}, "ATT-114", "receipt: names this host"},
		{"a receipt from the future", inReceipt(func(r *receipt.Receipt) { r.Issued = r.Issued.Add(time.Hour) }), client.Expect{}, "ATT-114", "receipt: signed before now"},
		{"a receipt before the start", inReceipt(func(r *receipt.Receipt) { r.Started = r.Issued.Add(time.Minute) }), client.Expect{}, "ATT-114", "receipt: signed before now"},
		{"not JSON", answer(func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }), client.Expect{}, "ATT-011", ""},
		{"too large", answer(func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, attest.MaxEndpoint+1)) }), client.Expect{}, "ATT-010", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			v := p.verifier(t)
			v.Expect = tt.expect
			if tt.change != nil {
				p.set(tt.change)
			}
			r, err := v.Verify(t.Context(), p.url())
			denied(t, r, err, tt.code, tt.check)
		})
	}
}

func inReceipt(change func(*receipt.Receipt)) func(*provider) {
	return func(p *provider) { p.receipt = change }
}

func answer(with func(http.ResponseWriter)) func(*provider) {
	return func(p *provider) { p.answer = func(w http.ResponseWriter, _ *http.Request) { with(w) } }
}

// TestNoEvidence: answers that are no evidence are no verdict either.
func TestNoEvidence(t *testing.T) {
	elsewhere := newProvider(t)
	tests := []struct {
		name   string
		answer func(http.ResponseWriter)
		code   status.Code
		reason string
	}{
		{"redirect", func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.url()+attest.EndpointPath)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, status.Untrusted, "client.redirect"},
		{"not found", func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, status.Untrusted, "client.no_evidence"},
		{"busy", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, status.Unavailable, "client.busy"},
		{"broken", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, status.Unavailable, "client.busy"},
		{"hangs up", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, status.Unavailable, "client.unreachable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			v := p.verifier(t)
			p.set(answer(tt.answer))
			r, err := v.Verify(t.Context(), p.url())
			if r != nil || status.CodeOf(err) != tt.code || status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v, %v (%s), want %v %s", r, err, status.ReasonOf(err), tt.code, tt.reason)
			}
		})
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

func TestURLs(t *testing.T) {
	for _, url := range []string{"", "app.example", "ftp://app.example", "https://", "https:app", "https://user@app.example", "https://%zz", "//app.example"} {
		r, err := (&client.Verifier{}).Verify(t.Context(), url)
		if r != nil || status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%q: got %v, %v", url, r, err)
		}
	}
}

// TestManInTheMiddle relays honest evidence over a connection of his own.
func TestManInTheMiddle(t *testing.T) {
	honest := newProvider(t)
	mallory := newProvider(t)
	mallory.set(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) {
			nonce, err := hex.DecodeString(r.URL.Query().Get("nonce"))
			if err != nil {
				t.Error(err)
				return
			}
			honest.set(func(p *provider) {
				b, err := p.make([32]byte(nonce), host)
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(b)
			})
		}
	})
	r, err := honest.verifier(t).Verify(t.Context(), mallory.url())
	denied(t, r, err, "ATT-026", "")
}

// TestReplay shows evidence that was made for an earlier user.
func TestReplay(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t)
	first, err := v.Verify(t.Context(), p.url())
	check(t, err)
	p.set(answer(func(w http.ResponseWriter) { _, _ = w.Write(first.Document) }))
	r, err := v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-020", "")
}

// TestPlainHTTP says that the connection is not bound.
func TestPlainHTTP(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t)
	plain := plainServer(t, p)
	r, err := v.Verify(t.Context(), plain)
	check(t, err)
	if w := r.Verdict.Warnings; len(w) == 0 || !strings.HasPrefix(w[0], client.WarnNotBound) {
		t.Errorf("warnings are %q", w)
	}
}

func TestTimeAndCancel(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.set(func(p *provider) {
		p.answer = func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }
	})
	_, err := v.Verify(ctx, p.url())
	if status.CodeOf(err) != status.Canceled {
		t.Errorf("got %v", err)
	}
}

// memory is what a publisher's state remembers.
type memory map[[32]byte]string

func (m memory) Activated(ek [32]byte, ak []byte) bool     { return m[ek] == string(ak) }
func (m memory) Remember(ek [32]byte, akName []byte) error { m[ek] = string(akName); return nil }

func newTPM(t *testing.T, m *attesttest.TPM) *tpm.Device {
	t.Helper()
	d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	return d
}

// TestTPM activates once, and then remembers; a file needs the memory, or a
// pinned key.
func TestTPM(t *testing.T) {
	p := newProvider(t)
	p.tpm = newTPM(t, attesttest.SWTPM(t))
	seen := memory{}
	v := p.verifier(t)
	v.Machines = seen
	first, err := v.Verify(t.Context(), p.url())
	check(t, err)
	if first.Verdict.Level != attest.LevelTPMMeasuredBoot || len(seen) != 1 {
		t.Errorf("got level %s, %d remembered", first.Verdict.Level, len(seen))
	}
	var posts int
	p.set(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				posts++
			}
			b, err := p.evidence(r)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(b)
		}
	})
	second, err := v.Verify(t.Context(), p.url())
	check(t, err)
	if posts != 0 || second.Verdict.Platform != first.Verdict.Platform {
		t.Errorf("%d activations, platform %s then %s", posts, first.Verdict.Platform, second.Verdict.Platform)
	}
	doc := client.Document{Body: second.Document, Nonce: second.Nonce, Host: host, TLSKey: second.TLSKey}
	file, err := v.VerifyDocument(doc)
	check(t, err)
	if file.Verdict.Platform != first.Verdict.Platform || len(file.Verdict.Warnings) != len(second.Verdict.Warnings) {
		t.Errorf("the file's verdict is %+v", file.Verdict)
	}
	forgetful := *v
	forgetful.Machines = nil
	r, err := forgetful.VerifyDocument(doc)
	denied(t, r, err, "ATT-092", "")
}

// TestTPMMixed relays the activation of another machine's TPM.
func TestTPMMixed(t *testing.T) {
	machine := attesttest.SWTPM(t)
	p, other := newProvider(t), newProvider(t)
	p.tpm, other.tpm = newTPM(t, machine), newTPM(t, machine.Sibling(t))
	id, err := other.tpm.Identity(t.Context())
	check(t, err)
	v := p.verifier(t)
	v.Roots = verify.Roots{EKRoots: []*x509.Certificate{machine.Root}, EKIntermediates: []*x509.Certificate{machine.Issuer}}
	p.set(func(p *provider) {
		p.document = func(d *attest.Endpoint) {
			d.Identity.EKCertificates, d.Identity.EKPublic = id.EKCertificates, id.EKPublic
		}
	})
	r, err := v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-092", "")
	p.set(func(p *provider) {
		p.document = func(d *attest.Endpoint) { d.Identity.AKPublic = d.Identity.EKPublic }
	})
	r, err = v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-090", "")
}
