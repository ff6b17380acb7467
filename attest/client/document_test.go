package client_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/policy"
	"apocryph/attest/receipt"
)

var update = flag.Bool("update", false, "record new evidence in testdata")

// recorded is evidence of a soft device as it was on one day.
type recorded struct {
	document, receipt []byte
	nonce             [attest.NonceSize]byte
	policy            *policy.Policy
	at                time.Time
}

// record makes testdata: what curl saves, the receipt alone, a policy and the
// nonce; with section a statement about a build, too.
func record(t *testing.T, dir string, section *policy.Provenance) {
	t.Helper()
	p := newProvider(t)
	accepted := p.policy(t)
	accepted.Provenance = section
	at := time.Now().UTC().Truncate(time.Minute)
	p.now = func() time.Time { return at }
	if section != nil {
		p.builds(t, buildOf(p), p.key)
	}
	var nonce [attest.NonceSize]byte
	copy(nonce[:], "recorded for the tests, no secret")
	doc, err := p.make(nonce, "app.example")
	check(t, err)
	decoded, err := attest.DecodeEndpoint(doc)
	check(t, err)
	files := map[string][]byte{
		"document.json": doc, "receipt.json": decoded.Receipt, "policy.yaml": accepted.Marshal(), "nonce": []byte(hex.EncodeToString(nonce[:])),
		"time": []byte(at.Format(time.RFC3339)),
	}
	if section != nil {
		files["provenance.json"] = decoded.Provenance[0]
	}
	for name, b := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
}

func load(t testing.TB) recorded { return loadFrom(t, "testdata") }

func loadFrom(t testing.TB, dir string) recorded {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		check(t, err)
		return b
	}
	r := recorded{document: read("document.json"), receipt: read("receipt.json")}
	var err error
	r.policy, err = policy.Parse(read("policy.yaml"))
	check(t, err)
	n, err := hex.DecodeString(string(read("nonce")))
	check(t, err)
	at, err := time.Parse(time.RFC3339, string(read("time")))
	check(t, err)
	r.at = at.Add(time.Minute)
	r.nonce = [attest.NonceSize]byte(n)
	return r
}

func (r recorded) verifier() *client.Verifier {
	return &client.Verifier{Policy: r.policy, Now: func() time.Time { return r.at }}
}

func TestRecorded(t *testing.T) {
	if *update {
		record(t, "testdata", nil)
	}
	want := load(t)
	r, err := want.verifier().VerifyDocument(client.Document{Body: want.document, Nonce: want.nonce, Host: "App.example."})
	check(t, err)
	if r.Receipt == nil || r.Host != "app.example" || len(r.TLSKey) != 32 {
		t.Errorf("got %+v", r)
	}
	warned(t, r, client.WarnNotBound)
	// All that is known only from the document is said to be.
	r, err = want.verifier().VerifyDocument(client.Document{Body: want.document})
	check(t, err)
	warned(t, r, client.WarnNotFresh, client.WarnNotBound)
	// Bound to a connection nothing is left to say.
	r, err = want.verifier().VerifyDocument(client.Document{Body: want.document, Nonce: want.nonce, TLSKey: r.TLSKey})
	check(t, err)
	warned(t, r)
}

func warned(t *testing.T, r *client.Report, want ...string) {
	t.Helper()
	var got []string
	for _, w := range r.Verdict.Warnings {
		head, _, _ := strings.Cut(w, ":")
		if slices.Contains([]string{client.WarnNotBound, client.WarnNotFresh, client.WarnThen}, head) {
			got = append(got, head)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

func TestDocumentRefused(t *testing.T) {
	good := load(t)
	flip := func(b [attest.NonceSize]byte) [attest.NonceSize]byte { b[31] ^= 1; return b }
	tests := []struct {
		name string
		doc  client.Document
		code string
	}{
		{"another nonce", client.Document{Body: good.document, Nonce: flip(good.nonce)}, "ATT-020"},
		{"another host", client.Document{Body: good.document, Nonce: good.nonce, Host: "other.example"}, "ATT-021"},
		{"another key", client.Document{Body: good.document, Nonce: good.nonce, TLSKey: make([]byte, 32)}, "ATT-026"},
		{"too late", client.Document{Body: good.document, Nonce: good.nonce, At: good.at.Add(time.Hour)}, "ATT-023"},
		{"too early", client.Document{Body: good.document, Nonce: good.nonce, At: good.at.Add(-time.Hour)}, "ATT-023"},
		{"another receipt", client.Document{Body: good.document, Nonce: good.nonce, Receipt: []byte(`{"payloadType":""}`)}, "ATT-114"},
		{"nothing", client.Document{}, "ATT-011"},
		{"nothing in it", client.Document{Body: []byte(`{"version":"0.0.1"}`)}, "ATT-011"},
		{"too large", client.Document{Body: make([]byte, attest.MaxEndpoint+1)}, "ATT-010"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := good.verifier().VerifyDocument(tt.doc)
			denied(t, r, err, tt.code, "")
		})
	}
}

// TestReceiptOf another file than the document's own.
func TestReceiptOf(t *testing.T) {
	good := load(t)
	_, err := good.verifier().VerifyDocument(client.Document{Body: good.document, Nonce: good.nonce, Receipt: good.receipt})
	check(t, err)
	p := newProvider(t)
	p.receipt = func(r *receipt.Receipt) { r.Revision++ }
	b, err := p.make(good.nonce, "app.example")
	check(t, err)
	other, err := attest.DecodeEndpoint(b)
	check(t, err)
	r, err := good.verifier().VerifyDocument(client.Document{Body: good.document, Nonce: good.nonce, Receipt: other.Receipt})
	denied(t, r, err, "ATT-114", "receipt: signed by the attested key")
}

// TestEveryByte flips a bit of each byte of the claims and the report, and of
// some of the receipt's, which comes last: none may be affirmed.
func TestEveryByte(t *testing.T) {
	good := load(t)
	doc, err := attest.DecodeEndpoint(good.document)
	check(t, err)
	v := good.verifier()
	same, err := v.VerifyDocument(client.Document{Body: good.document, Nonce: good.nonce})
	check(t, err)
	try := func(what string, b []byte, step int) {
		for i := 0; i < len(b); i += step {
			b[i] ^= 1 << (i % 8)
			body, err := doc.Encode()
			b[i] ^= 1 << (i % 8)
			if err != nil {
				continue // a receipt that is no JSON does not even encode
			}
			r, err := v.VerifyDocument(client.Document{Body: body, Nonce: good.nonce})
			// An envelope's own names may be in another case; what it carries may not.
			if err == nil && (what != "the receipt" || !cmp.Equal(r.Receipt, same.Receipt)) {
				t.Fatalf("byte %d of %s is changed, and it is affirmed: %+v", i, what, r.Verdict)
			}
		}
	}
	try("the claims", doc.Claims, 1)
	try("the report", doc.Evidence[0].Report[:signed], 1)
	try("the receipt", doc.Receipt, 7)
}

// signed is how much of an SNP report its signature covers (56860, table 23).
const signed = 0x2A0

// FuzzVerifyDocument: whatever comes in a file, nothing panics, and what is
// affirmed has the recorded claims.
func FuzzVerifyDocument(f *testing.F) {
	good := load(f)
	v := good.verifier()
	doc, err := attest.DecodeEndpoint(good.document)
	check(f, err)
	f.Add(good.document)
	f.Add(good.receipt)
	f.Add([]byte(`{"version":"0.0.1","result":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := v.VerifyDocument(client.Document{Body: b})
		if err != nil {
			return
		}
		got, err := attest.DecodeEndpoint(b)
		if err != nil || string(got.Claims) != string(doc.Claims) || !r.Verdict.Affirmed {
			t.Errorf("affirmed: %q", b)
		}
	})
}
