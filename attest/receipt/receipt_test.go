package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/dsse"
	"apocryph/manifest"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// key is the same in every run, for the golden file.
var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func public() ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func sample() Receipt {
	at := time.Date(2026, 11, 21, 10, 0, 0, 120e6, time.UTC)
	return Receipt{
		Provider: "12D3KooWExample", PodID: "mzxw6ytboi", Revision: 3, Manifest: sha256.Sum256([]byte("manifest")),
		Images: []Image{
			{"web", manifest.Digest(sha256.Sum256([]byte("web"))).String(), "bafyweb"},
			{"db", manifest.Digest(sha256.Sum256([]byte("db"))).String(), "bafydb"},
		},
		Endpoints: []Endpoint{{"web", "http", "http://web-1.example/"}, {"db", "tcp", "tcp://192.0.2.1:30001"}},
		BootEpoch: bytes.Repeat([]byte{1}, 32), LogPosition: 12, LogHead: bytes.Repeat([]byte{2}, 32),
		Provenance: []manifest.Digest{sha256.Sum256([]byte("built"))}, Started: at, Issued: at.Add(time.Second),
	}
}

func signed(t testing.TB, r Receipt) []byte {
	t.Helper()
	b, err := Sign(r, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

func TestRoundTrip(t *testing.T) {
	bare := sample()
	bare.Endpoints, bare.LogHead, bare.LogPosition, bare.Provenance = nil, nil, 0, nil
	for _, want := range []Receipt{sample(), bare} {
		got, err := Open(signed(t, want), public())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestGolden(t *testing.T) {
	const path = "testdata/receipt.json"
	got := signed(t, sample())
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestAnotherKey(t *testing.T) {
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	_, err := Open(signed(t, sample()), other.Public().(ed25519.PublicKey))
	refused(t, err, status.Untrusted, "receipt.signature")
	if _, err := Open(signed(t, sample()), nil); err == nil {
		t.Error("it opens without a key")
	}
}

// TestEveryBit flips every bit of a receipt: nothing opens then.
func TestEveryBit(t *testing.T) {
	b := signed(t, sample())
	for i := range len(b) * 8 {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if _, err := Open(c, public()); err == nil {
			t.Fatalf("bit %d is flipped, and it opens: %q", i, c[max(0, i/8-8):min(len(c), i/8+8)])
		}
	}
}

func TestReceiptsThatCannotBe(t *testing.T) {
	for name, spoil := range map[string]func(*Receipt){
		"no provider":        func(r *Receipt) { r.Provider = "" },
		"no pod":             func(r *Receipt) { r.PodID = "" },
		"no revision":        func(r *Receipt) { r.Revision = 0 },
		"no image":           func(r *Receipt) { r.Images = nil },
		"image by tag":       func(r *Receipt) { r.Images[0].ImageID = "web:latest" },
		"image without name": func(r *Receipt) { r.Images[0].Container = "" },
		"escape sequence":    func(r *Receipt) { r.Endpoints[0].URL = "http://\x1b[2J" },
		"no epoch":           func(r *Receipt) { r.BootEpoch = nil },
		"long epoch":         func(r *Receipt) { r.BootEpoch = make([]byte, 65) },
		"too many images":    func(r *Receipt) { r.Images = make([]Image, MaxImages+1) },
		"long text":          func(r *Receipt) { r.Endpoints[0].URL = strings.Repeat("x", maxText+1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			spoil(&r)
			_, err := Sign(r, key)
			refused(t, err, status.InvalidArgument, "receipt.invalid")
		})
	}
}

// seal signs any payload, as a provider could that is not honest.
func seal(t testing.TB, payload string) []byte {
	b, err := dsse.Seal(dsse.InToto, []byte(payload), key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignedNonsense(t *testing.T) {
	good, err := encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	for name, c := range map[string]struct{ payload, reason string }{
		"nothing":          {"", "receipt.parse"},
		"no object":        {"[]", "receipt.parse"},
		"unknown field":    {strings.Replace(text, `"podId"`, `"tenant":"x","podId"`, 1), "receipt.parse"},
		"field twice":      {strings.Replace(text, `"podId"`, `"podId":"other","podId"`, 1), "receipt.parse"},
		"another case":     {strings.Replace(text, `"podId"`, `"podid"`, 1), "receipt.parse"},
		"white space":      {text + "\n", "receipt.parse"},
		"two statements":   {text + text, "receipt.parse"},
		"another type":     {strings.Replace(text, "Statement/v1", "Statement/v2", 1), "receipt.invalid"},
		"another meaning":  {strings.Replace(text, "urn:apocryph:pod", "urn:apocryph:job", 1), "receipt.invalid"},
		"another subject":  {strings.Replace(text, `"name":"web"`, `"name":"db"`, 1), "receipt.invalid"},
		"a day that isn't": {strings.Replace(text, "2026-11-21", "2026-11-31", 1), "receipt.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(seal(t, c.payload), public())
			refused(t, err, status.InvalidArgument, c.reason)
		})
	}
	// All that is wrong is said at once.
	_, err = Open(seal(t, `{"_type":"","subject":[],"predicateType":"","predicate":{}}`), public())
	if n := len(status.Public(err).Faults); n != 10 {
		t.Errorf("got %d faults, want 10: %v", n, err)
	}
}

func TestEnvelopesThatAreNone(t *testing.T) {
	good := string(signed(t, sample()))
	for name, c := range map[string]struct{ b, reason string }{
		"nothing":         {"", "receipt.parse"},
		"unsigned":        {strings.Replace(good, `"signatures":[{`, `"signatures":[],"x":[{`, 1), "receipt.parse"},
		"another type":    {strings.Replace(good, "in-toto", "in-tato", 1), "receipt.parse"},
		"signed twice":    {strings.Replace(good, `"signatures":[`, `"signatures":[{"keyid":"","sig":""},`, 1), "receipt.parse"},
		"too large":       {good + strings.Repeat(" ", MaxEnvelope), "receipt.too_large"},
		"not base64":      {strings.Replace(good, `"payload":"`, `"payload":"!`, 1), "receipt.parse"},
		"another after":   {good + good, "receipt.parse"},
		"sig not base64":  {strings.Replace(good, `"sig":"`, `"sig":"!`, 1), "receipt.parse"},
		"a text, no list": {`{"payloadType":1}`, "receipt.parse"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open([]byte(c.b), public())
			refused(t, err, status.InvalidArgument, c.reason)
		})
	}
}

// FuzzDecode reads statements as if their signature were good.
func FuzzDecode(f *testing.F) {
	good, err := encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"_type":"","subject":[],"predicateType":"","predicate":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Fatalf("got %v", err)
			}
			return
		}
		if again, err := encode(r); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %s as %s (%v)", b, again, err)
		}
	})
}

// FuzzOpen reads envelopes.
func FuzzOpen(f *testing.F) {
	f.Add(signed(f, sample()))
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[{"keyid":"","sig":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := Open(b, public()); err == nil {
			if diff := cmp.Diff(sample(), r); diff != "" {
				t.Fatalf("a receipt that nobody signed: %s", diff)
			}
		}
	})
}

func TestSignerOf(t *testing.T) {
	got, err := SignerOf(signed(t, sample()))
	if err != nil || got != KeyID(public()) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, b := range []string{"", "{}", `{"payloadType":"x"}`, strings.Repeat("x", MaxEnvelope+1)} {
		if got, err := SignerOf([]byte(b)); got != "" || status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%.20q: got %q, %v", b, got, err)
		}
	}
}
