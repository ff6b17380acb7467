package commit

import (
	"bytes"
	"crypto"
	"os"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/pjbgf/sha1cd"

	"apocryph/proto/status"
)

// TestCollision has the beginning of SHAttered's first file (2017): it shares
// its SHA-1 with the second one.
func TestCollision(t *testing.T) {
	b, err := os.ReadFile("testdata/shattered.bin")
	if err != nil {
		t.Fatal(err)
	}
	h := sha1cd.New()
	h.Write(b)
	if id, err := sum(h); status.ReasonOf(err) != ReasonTree {
		t.Errorf("got the id %x, error %v", id, err)
	}
	h.Reset()
	h.Write(b[:len(b)-1])
	if _, err := sum(h); err != nil {
		t.Errorf("without the last byte: %v", err)
	}
}

// TestPGPTimes: a key counts from its making to its end or its revocation.
func TestPGPTimes(t *testing.T) {
	born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *packet.Config {
		return &packet.Config{Time: func() time.Time { return born.Add(d) }, DefaultHash: crypto.SHA256, KeyLifetimeSecs: 86400 * 10, Algorithm: packet.PubKeyAlgoEdDSA}
	}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name   string
		signed time.Duration
		change func(*openpgp.Entity) error
		reason string
	}{
		{name: "in time", signed: day},
		{name: "expired", signed: 11 * day, reason: ReasonSigner},
		// The signature itself is of a time when the key was there.
		{name: "before it was made", signed: -day},
		{name: "revoked before", signed: 3 * day, reason: ReasonSigner, change: func(e *openpgp.Entity) error {
			return e.RevokeKey(packet.KeySuperseded, "", at(2*day))
		}},
		{name: "revoked after", signed: day, change: func(e *openpgp.Entity) error {
			return e.RevokeKey(packet.KeySuperseded, "", at(2*day))
		}},
		{name: "stolen after", signed: day, reason: ReasonSigner, change: func(e *openpgp.Entity) error {
			return e.RevokeKey(packet.KeyCompromised, "", at(2*day))
		}},
	} {
		e, err := openpgp.NewEntity("Cleo", "", "cleo@example.org", at(0))
		if err != nil {
			t.Fatal(err)
		}
		signer := *e
		c := Commit{ID: "x", Signed: []byte("signed"), Committer: Person{Time: born.Add(tt.signed)}}
		var sig bytes.Buffer
		if tt.signed > 10*day || tt.signed < 0 {
			// The library does not sign so; the claimed time of the commit alone is out.
			err = openpgp.ArmoredDetachSign(&sig, &signer, bytes.NewReader(c.Signed), at(day))
		} else {
			err = openpgp.ArmoredDetachSign(&sig, &signer, bytes.NewReader(c.Signed), at(tt.signed))
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Signature = sig.String() + "\n"
		if tt.change != nil {
			if err := tt.change(e); err != nil {
				t.Fatal(err)
			}
		}
		var list bytes.Buffer
		w, err := armor.Encode(&list, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Serialize(w); err != nil {
			t.Fatal(err)
		}
		w.Close()
		list.WriteByte('\n')
		keys, err := ParseKeys(list.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		s, err := Verify(c, keys)
		if status.ReasonOf(err) != tt.reason || tt.reason == "" && s.Name != "Cleo <cleo@example.org>" {
			t.Errorf("%s: %+v, %v", tt.name, s, err)
		}
	}
}

func TestPanicsAreErrors(t *testing.T) {
	if _, err := guarded(func() (int, error) { panic("x") }); err != errPanic {
		t.Errorf("got %v", err)
	}
}
