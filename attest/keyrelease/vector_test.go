package keyrelease_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudflare/circl/hpke"

	"apocryph/attest/keyrelease"
)

var update = flag.Bool("update", false, "rewrite testdata")

// vector is the golden file: hex of everything, for other implementations too.
type vector struct {
	Seed, EphemeralSeed, PublicKey, ClaimsDigest, RequestID, Plaintext, Enc, Ciphertext, Confirm string
}

// TestVector opens what another implementation of RFC 9180 sealed, with both
// keys derived from fixed seeds.
func TestVector(t *testing.T) {
	file := filepath.Join("testdata", "vector.json")
	if *update {
		b, err := json.MarshalIndent(independentVector(t), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(b, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if got := independentVector(t); got != v {
		t.Errorf("the other implementation gives\n%+v, the file has\n%+v", got, v)
	}
	k, err := keyrelease.NewKey(bytes.NewReader(unhex(t, v.Seed)))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(k.PublicKey()); got != v.PublicKey {
		t.Errorf("public key %s, want %s", got, v.PublicKey)
	}
	got, confirm, err := k.Open(unhex(t, v.Enc), unhex(t, v.Ciphertext), [32]byte(unhex(t, v.ClaimsDigest)), [16]byte(unhex(t, v.RequestID)))
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(got) != v.Plaintext || hex.EncodeToString(confirm) != v.Confirm {
		t.Errorf("got %x and %x", got, confirm)
	}
}

// TestOtherImplementationOpens is the other direction of TestVector.
func TestOtherImplementationOpens(t *testing.T) {
	seed := seedBytes(0)
	pub, secret := hpke.KEM_X25519_HKDF_SHA256.Scheme().DeriveKeyPair(seed)
	pubBytes, err := pub.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	enc, ciphertext, announced, err := keyrelease.Seal(pubBytes, digest, request, plain)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := otherSuite().NewReceiver(secret, []byte(keyrelease.Info))
	if err != nil {
		t.Fatal(err)
	}
	opener, err := receiver.Setup(enc)
	if err != nil {
		t.Fatal(err)
	}
	got, err := opener.Open(ciphertext, append(digest[:len(digest):len(digest)], request[:]...))
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("got %q, %v", got, err)
	}
	if !hmac.Equal(announced, mac(opener.Export([]byte("apocryph/provision/0.0.1/confirm"), 32), request[:])) {
		t.Error("another confirmation was announced")
	}
}

func otherSuite() hpke.Suite {
	return hpke.NewSuite(hpke.KEM_X25519_HKDF_SHA256, hpke.KDF_HKDF_SHA256, hpke.AEAD_AES256GCM)
}

func independentVector(t testing.TB) vector {
	t.Helper()
	seed, ephemeral := seedBytes(0), seedBytes(100)
	pub, _ := hpke.KEM_X25519_HKDF_SHA256.Scheme().DeriveKeyPair(seed)
	pubBytes, err := pub.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	sender, err := otherSuite().NewSender(pub, []byte("apocryph/provision/0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	enc, sealer, err := sender.Setup(bytes.NewReader(ephemeral))
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := sealer.Seal(plain, append(digest[:len(digest):len(digest)], request[:]...))
	if err != nil {
		t.Fatal(err)
	}
	return vector{
		Seed: hex.EncodeToString(seed), EphemeralSeed: hex.EncodeToString(ephemeral), PublicKey: hex.EncodeToString(pubBytes),
		ClaimsDigest: hex.EncodeToString(digest[:]), RequestID: hex.EncodeToString(request[:]), Plaintext: hex.EncodeToString(plain),
		Enc: hex.EncodeToString(enc), Ciphertext: hex.EncodeToString(ciphertext),
		Confirm: hex.EncodeToString(mac(sealer.Export([]byte("apocryph/provision/0.0.1/confirm"), 32), request[:])),
	}
}

func mac(key, message []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(message)
	return m.Sum(nil)
}

func seedBytes(start byte) []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = start + byte(i)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzOpen(f *testing.F) {
	// The vector is the same in every worker process.
	k, v := newKey(f, 0), independentVector(f)
	enc, ciphertext := unhex(f, v.Enc), unhex(f, v.Ciphertext)
	f.Add(enc, ciphertext)
	f.Add(enc, []byte{})
	f.Add([]byte{}, ciphertext)
	f.Add(make([]byte, 32), make([]byte, 16))
	f.Add(enc[:31], ciphertext[:17])
	f.Fuzz(func(t *testing.T, e, c []byte) {
		got, confirm, err := k.Open(e, c, digest, request)
		if err == nil {
			// No fuzzer forges a tag; only the seed opens.
			if !bytes.Equal(e, enc) || !bytes.Equal(c, ciphertext) || !bytes.Equal(got, plain) || len(confirm) != keyrelease.ConfirmSize {
				t.Errorf("opened %x", got)
			}
			return
		}
		if got != nil || confirm != nil || !errors.Is(err, keyrelease.ErrUnsealable) && !errors.Is(err, keyrelease.ErrTooLarge) {
			t.Errorf("got %x, %x, %v", got, confirm, err)
		}
	})
}
