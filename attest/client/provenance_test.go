package client_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/commit"
	"apocryph/attest/dsse"
	"apocryph/attest/policy"
	"apocryph/attest/provenance"
	"apocryph/attest/receipt"
	"apocryph/manifest"
)

const commitObject = "tree 9bedf67800b2923982bdf60c89c57ce6fd2d9a1c\n" +
	"author Ann <ann@example.org> 1763719200 +0000\ncommitter Ann <ann@example.org> 1763719200 +0000\n\na page\n"

// buildOf is what the provider would have built of the image that runs.
func buildOf(p *provider) provenance.Build {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	return provenance.Build{
		ID: "build-1", Builder: provenance.BuilderOf(client.PeerText(p.peer)), Runtime: "static", ImageID: imageID,
		Image: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("manifest"))), Started: at, Finished: at,
		Source: &provenance.Source{
			Repository: "https://github.com/o/r", Branch: "refs/heads/main", Method: "clone", Object: []byte(commitObject),
			Commit: "6b073e8ed4be07c8800c5ad19dbd1f1b9774eb91", Tree: "9bedf67800b2923982bdf60c89c57ce6fd2d9a1c",
		},
	}
}

// builds lets the provider show a statement, which its receipt names.
func (p *provider) builds(t testing.TB, b provenance.Build, key ed25519.PrivateKey) (envelope []byte) {
	t.Helper()
	statement, err := provenance.Encode(b)
	check(t, err)
	envelope, err = provenance.Sign(statement, key)
	check(t, err)
	p.set(func(p *provider) {
		p.receipt = func(r *receipt.Receipt) { r.Provenance = []manifest.Digest{provenance.Digest(statement)} }
		p.document = func(d *attest.Endpoint) { d.Provenance = [][]byte{envelope} }
	})
	return envelope
}

// demanding is the provider's policy with a section provenance.
func demanding(t testing.TB, p *provider, section policy.Provenance) *client.Verifier {
	t.Helper()
	v := p.verifier(t)
	v.Policy.Provenance = &section
	return v
}

var fromMain = policy.Provenance{Required: true, Repositories: []string{"https://github.com/o/r"}, Branches: []string{"main"}}

func TestProvenance(t *testing.T) {
	p := newProvider(t)
	p.builds(t, buildOf(p), p.key)
	for name, v := range map[string]*client.Verifier{"nothing demanded": p.verifier(t), "from main": demanding(t, p, fromMain)} {
		r, err := v.Verify(t.Context(), p.url())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(r.Builds) != 1 || r.Builds[0].Source.Commit != buildOf(p).Source.Commit || r.Builds[0].ImageID != imageID {
			t.Errorf("%s: got %+v", name, r.Builds)
		}
		// The document alone says as much.
		if r, err := v.VerifyDocument(client.Document{Body: r.Document, Nonce: r.Nonce}); err != nil || len(r.Builds) != 1 {
			t.Errorf("%s: as a document: %v", name, err)
		}
	}
}

// TestUnauthenticatedRepository: http is what the builder did, which people are told;
// a policy that wants https is not content with it.
func TestUnauthenticatedRepository(t *testing.T) {
	p := newProvider(t)
	b := buildOf(p)
	b.Source.Repository = "http://github.com/o/r"
	p.builds(t, b, p.key)
	r, err := demanding(t, p, fromMain).Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-121", "")
	plain := fromMain
	plain.Repositories = []string{"http://github.com/o/r"}
	r, err = demanding(t, p, plain).Verify(t.Context(), p.url())
	check(t, err)
	if text := strings.Join(r.Verdict.Warnings, "\n"); !strings.Contains(text, client.WarnUnauthenticated+": refs/heads/main of http://github.com/o/r") {
		t.Errorf("got %s", text)
	}
	p.builds(t, buildOf(p), p.key)
	r, err = demanding(t, p, fromMain).Verify(t.Context(), p.url())
	check(t, err)
	if text := strings.Join(r.Verdict.Warnings, "\n"); strings.Contains(text, client.WarnUnauthenticated) {
		t.Errorf("got %s", text)
	}
}

func TestProvenanceDenied(t *testing.T) {
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	zero := "sha256:" + strings.Repeat("0", 64)
	for name, tt := range map[string]struct {
		spoil func(*testing.T, *provider)
		code  string
	}{
		"none":             {func(_ *testing.T, p *provider) { p.set(func(p *provider) { p.receipt, p.document = nil, nil }) }, "ATT-120"},
		"named, not shown": {func(_ *testing.T, p *provider) { p.set(func(p *provider) { p.document = nil }) }, "ATT-120"},
		"shown, not named": {func(_ *testing.T, p *provider) { p.set(func(p *provider) { p.receipt = nil }) }, "ATT-120"},
		"another key":      {func(t *testing.T, p *provider) { p.builds(t, buildOf(p), other) }, "ATT-120"},
		"shown twice": {func(_ *testing.T, p *provider) {
			p.set(func(p *provider) {
				once := p.document
				p.document = func(d *attest.Endpoint) { once(d); d.Provenance = slices.Repeat(d.Provenance, 2) }
			})
		}, "ATT-120"},
		"another image":      {func(t *testing.T, p *provider) { b := buildOf(p); b.ImageID = zero; p.builds(t, b, p.key) }, "ATT-120"},
		"another builder":    {func(t *testing.T, p *provider) { b := buildOf(p); b.Builder += "x"; p.builds(t, b, p.key) }, "ATT-120"},
		"another repository": {func(t *testing.T, p *provider) { b := buildOf(p); b.Source.Repository += "x"; p.builds(t, b, p.key) }, "ATT-121"},
		"another branch":     {func(t *testing.T, p *provider) { b := buildOf(p); b.Source.Branch += "x"; p.builds(t, b, p.key) }, "ATT-121"},
		"uploaded files": {func(t *testing.T, p *provider) {
			b := buildOf(p)
			b.Source, b.Upload = nil, zero
			p.builds(t, b, p.key)
		}, "ATT-121"},
		"the receipt in its place": {func(_ *testing.T, p *provider) {
			p.set(func(p *provider) { p.document = func(d *attest.Endpoint) { d.Provenance = [][]byte{d.Receipt} } })
		}, "ATT-120"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.builds(t, buildOf(p), p.key)
			tt.spoil(t, p)
			r, err := demanding(t, p, fromMain).Verify(t.Context(), p.url())
			denied(t, r, err, tt.code, "")
		})
	}
}

// realCommit is a commit that git signed, and the public key without options.
type realCommit struct {
	commit.Commit
	object []byte
	key    string
}

func commitOf(t *testing.T, name string) realCommit {
	t.Helper()
	dir := filepath.Join("..", "commit", "testdata")
	object, err := os.ReadFile(filepath.Join(dir, name+".commit"))
	check(t, err)
	keys, err := os.ReadFile(filepath.Join(dir, name+".keys"))
	check(t, err)
	c, err := commit.Parse(object)
	check(t, err)
	f := strings.Fields(string(keys))
	return realCommit{c, object, strings.Join(f[len(f)-2:], " ")}
}

// TestSigner wants the commit's signature to be good by a key that the policy names.
func TestSigner(t *testing.T) {
	p := newProvider(t)
	b := buildOf(p)
	b.Source.Signer = "SHA256:the builder's word"
	p.builds(t, b, p.key)
	signed := fromMain
	signed.Signers.SSH = []string{commitOf(t, "ssh-ecdsa").key}
	v := demanding(t, p, signed)
	r, err := v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-122", "")
	real := commitOf(t, "ssh-ed25519")
	b.Source.Object, b.Source.Commit, b.Source.Tree = real.object, real.ID, real.Tree
	p.builds(t, b, p.key)
	v.Policy.Provenance.Signers.SSH = []string{real.key}
	r, err = v.Verify(t.Context(), p.url())
	check(t, err)
	if s := r.Builds[0].Signer; s == nil || s.Kind != "ssh" || !strings.HasPrefix(s.Key, "SHA256:") {
		t.Errorf("got %+v", s)
	}
	v.Policy.Provenance.Signers.SSH = []string{commitOf(t, "ssh-ecdsa").key}
	r, err = v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-122", "")
	p.builds(t, buildOf(p), p.key)
	v.Policy.Provenance.Signers.SSH = []string{real.key}
	r, err = v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-122", "")

	v.Policy.Provenance.Signers.SSH = signed.Signers.SSH
	v.Signer = func([]byte, policy.Signers) (attest.BuildSigner, error) {
		return attest.BuildSigner{}, errors.New("another key")
	}
	r, err = v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-122", "")
	v.Signer = func(object []byte, keys policy.Signers) (attest.BuildSigner, error) {
		if string(object) != commitObject || !slices.Equal(keys.SSH, signed.Signers.SSH) {
			t.Errorf("asked about %q by %v", object, keys)
		}
		return attest.BuildSigner{Kind: "ssh", Key: "SHA256:x", Name: "ann"}, nil
	}
	r, err = v.Verify(t.Context(), p.url())
	check(t, err)
	if s := r.Builds[0].Signer; s == nil || s.Name != "ann" {
		t.Errorf("got %+v", s)
	}
}

// TestProvenanceOfReceipt judges a receipt and a statement by a key that was
// attested before.
func TestProvenanceOfReceipt(t *testing.T) {
	p := newProvider(t)
	envelope := p.builds(t, buildOf(p), p.key)
	v := demanding(t, p, fromMain)
	r, err := v.Verify(t.Context(), p.url())
	check(t, err)
	k, ok := client.KeyOf(r.Result, r.Verdict, v.Policy, r.At)
	if !ok {
		t.Fatal("no key")
	}
	doc, err := attest.DecodeEndpoint(r.Document)
	check(t, err)
	r, err = v.VerifyReceipt(doc.Receipt, k, envelope)
	check(t, err)
	if len(r.Builds) != 1 {
		t.Errorf("got %+v", r.Builds)
	}
	r, err = v.VerifyReceipt(doc.Receipt, k)
	denied(t, r, err, "ATT-120", "")
}

// TestRecordedChain judges evidence with a statement as it was on one day, which
// other tools' tests have, too.
func TestRecordedChain(t *testing.T) {
	dir := filepath.Join("testdata", "built")
	if *update {
		record(t, dir, &fromMain)
	}
	want := loadFrom(t, dir)
	r, err := want.verifier().VerifyDocument(client.Document{Body: want.document, Nonce: want.nonce, Host: "app.example"})
	check(t, err)
	if len(r.Builds) != 1 || r.Builds[0].Source.Branch != "refs/heads/main" {
		t.Errorf("got %+v", r.Builds)
	}
	// Another day's policy for the same machine.
	other := want.verifier()
	next := fromMain
	next.Branches = []string{"next"}
	other.Policy.Provenance = &next
	r, err = other.VerifyDocument(client.Document{Body: want.document, Nonce: want.nonce, Host: "app.example"})
	denied(t, r, err, "ATT-121", "")
}

// TestOneByte changes one byte anywhere of a chain that affirms: each of the commit
// object, and some of all else, since each costs a whole verification. That no
// byte of an envelope can change is shown where they are opened, see TestEveryByte of
// package provenance and TestEveryBit of package receipt. Nothing of it affirms.
func TestOneByte(t *testing.T) {
	p := newProvider(t)
	p.builds(t, buildOf(p), p.key)
	v := demanding(t, p, fromMain)
	good, err := v.Verify(t.Context(), p.url())
	check(t, err)
	document := func() *attest.Endpoint {
		d, err := attest.DecodeEndpoint(good.Document)
		check(t, err)
		return d
	}
	judge := func(d *attest.Endpoint) bool {
		body, err := d.Encode()
		if err != nil {
			return false // no JSON any more
		}
		r, err := v.VerifyDocument(client.Document{Body: body, Nonce: good.Nonce, At: good.At})
		return err == nil || r != nil && r.Verdict.Affirmed
	}
	if !judge(document()) {
		t.Fatal("the chain is not good as it is")
	}
	random := rand.New(rand.NewPCG(1, 2))
	flip := func(name string, part func(*attest.Endpoint) []byte, every int) {
		n := len(part(document()))
		for i := 0; i < n; i += every {
			d := document()
			part(d)[i] ^= byte(1 + random.IntN(255))
			if judge(d) {
				t.Fatalf("%s: byte %d of %d is changed, and it affirms", name, i, n)
			}
		}
	}
	flip("statement", func(d *attest.Endpoint) []byte { return d.Provenance[0] }, 7)
	flip("receipt", func(d *attest.Endpoint) []byte { return d.Receipt }, 5)
	flip("claims", func(d *attest.Endpoint) []byte { return d.Claims }, 3)
	flip("report", func(d *attest.Endpoint) []byte { return d.Evidence[0].Report }, 7)

	// A commit object that is changed and signed anew is not that commit.
	e, err := dsse.Parse(dsse.InToto, document().Provenance[0])
	check(t, err)
	for i := range len(commitObject) {
		object := []byte(commitObject)
		object[i] ^= byte(1 + random.IntN(255))
		forged := strings.Replace(string(e.Payload), base64.StdEncoding.EncodeToString([]byte(commitObject)), base64.StdEncoding.EncodeToString(object), 1)
		envelope, err := dsse.Seal(dsse.InToto, []byte(forged), p.key)
		check(t, err)
		if _, err := provenance.Verify(envelope, p.key.Public().(ed25519.PublicKey)); err == nil {
			t.Fatalf("byte %d of the commit object is changed, and it opens", i)
		}
	}
}
