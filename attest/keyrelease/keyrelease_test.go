package keyrelease_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"apocryph/attest/keyrelease"
	"apocryph/proto/status"
)

var (
	digest  = sha256.Sum256([]byte("claims"))
	request = [16]byte{1, 2, 3, 15: 16}
	plain   = []byte("manifest and keys")
)

// counting is a deterministic source, so that keys are the same in every run.
type counting byte

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(*c)
		*c++
	}
	return len(p), nil
}

func newKey(t testing.TB, seed byte) *keyrelease.PrivateKey {
	t.Helper()
	c := counting(seed)
	k, err := keyrelease.NewKey(&c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealOpen(t *testing.T) {
	random, err := keyrelease.NewKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 1000, keyrelease.MaxPlaintext} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := bytes.Repeat([]byte{7}, size)
			enc, ciphertext, announced, err := keyrelease.Seal(random.PublicKey(), digest, request, want)
			if err != nil {
				t.Fatal(err)
			}
			if len(enc) != keyrelease.PublicKeySize || len(ciphertext) != size+keyrelease.Overhead {
				t.Errorf("enc has %d bytes, ciphertext %d", len(enc), len(ciphertext))
			}
			got, confirm, err := random.Open(enc, ciphertext, digest, request)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Error("another plaintext came out")
			}
			if err := keyrelease.CheckConfirm(announced, confirm); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSealIsFresh(t *testing.T) {
	k := newKey(t, 0)
	enc1, ct1, c1, err1 := keyrelease.Seal(k.PublicKey(), digest, request, plain)
	enc2, ct2, c2, err2 := keyrelease.Seal(k.PublicKey(), digest, request, plain)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(enc1, enc2) || bytes.Equal(ct1, ct2) || bytes.Equal(c1, c2) {
		t.Error("sealing twice gives the same bytes")
	}
}

func TestOpenRefuses(t *testing.T) {
	k := newKey(t, 0)
	enc, ciphertext, _, err := keyrelease.Seal(k.PublicKey(), digest, request, plain)
	if err != nil {
		t.Fatal(err)
	}
	otherDigest, otherRequest := digest, request
	otherDigest[31] ^= 1
	otherRequest[0] ^= 1
	lowOrder := make([]byte, 32)
	lowOrder[0] = 1
	tests := []struct {
		name            string
		key             *keyrelease.PrivateKey
		enc, ciphertext []byte
		digest          [32]byte
		request         [16]byte
		want            error
	}{
		{"another key", newKey(t, 1), enc, ciphertext, digest, request, keyrelease.ErrUnsealable},
		{"another attestation", k, enc, ciphertext, otherDigest, request, keyrelease.ErrUnsealable},
		{"another request", k, enc, ciphertext, digest, otherRequest, keyrelease.ErrUnsealable},
		{"no enc", k, nil, ciphertext, digest, request, keyrelease.ErrUnsealable},
		{"short enc", k, enc[:31], ciphertext, digest, request, keyrelease.ErrUnsealable},
		{"long enc", k, append(bytes.Clone(enc), 0), ciphertext, digest, request, keyrelease.ErrUnsealable},
		{"zero enc", k, make([]byte, 32), ciphertext, digest, request, keyrelease.ErrUnsealable},
		{"enc of low order", k, lowOrder, ciphertext, digest, request, keyrelease.ErrUnsealable},
		{"no ciphertext", k, enc, nil, digest, request, keyrelease.ErrUnsealable},
		{"half a tag", k, enc, ciphertext[:8], digest, request, keyrelease.ErrUnsealable},
		{"a tag alone", k, enc, ciphertext[:16], digest, request, keyrelease.ErrUnsealable},
		{"cut", k, enc, ciphertext[:len(ciphertext)-1], digest, request, keyrelease.ErrUnsealable},
		{"lengthened", k, enc, append(bytes.Clone(ciphertext), 0), digest, request, keyrelease.ErrUnsealable},
		{"plaintext", k, enc, plain, digest, request, keyrelease.ErrUnsealable},
		{"too large", k, enc, make([]byte, keyrelease.MaxCiphertext+1), digest, request, keyrelease.ErrTooLarge},
		{"largest", k, enc, make([]byte, keyrelease.MaxCiphertext), digest, request, keyrelease.ErrUnsealable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, confirm, err := tt.key.Open(tt.enc, tt.ciphertext, tt.digest, tt.request)
			// The very same value: nothing of the failure may show.
			if err != tt.want {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
			if got != nil || confirm != nil {
				t.Error("something came out")
			}
		})
	}
}

func TestEveryBitCounts(t *testing.T) {
	k := newKey(t, 0)
	enc, ciphertext, announced, err := keyrelease.Seal(k.PublicKey(), digest, request, plain)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(name string, b []byte) {
		for i := range len(b) * 8 {
			// X25519 ignores the top bit of a point (RFC 7748, 5); HPKE hashes enc, so it counts here.
			b[i/8] ^= 1 << (i % 8)
			if _, _, err := k.Open(enc, ciphertext, digest, request); !errors.Is(err, keyrelease.ErrUnsealable) {
				t.Errorf("%s: bit %d flipped: got %v", name, i, err)
			}
			b[i/8] ^= 1 << (i % 8)
		}
	}
	flip("enc", enc)
	flip("ciphertext", ciphertext)
	if _, confirm, err := k.Open(enc, ciphertext, digest, request); err != nil || keyrelease.CheckConfirm(announced, confirm) != nil {
		t.Errorf("the message does not open unchanged: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	pub := newKey(t, 0).PublicKey()
	for name, tt := range map[string]struct {
		pub, plaintext []byte
		want           error
	}{
		"no key":       {nil, plain, keyrelease.ErrPublicKey},
		"short key":    {pub[:31], plain, keyrelease.ErrPublicKey},
		"long key":     {append(bytes.Clone(pub), 0), plain, keyrelease.ErrPublicKey},
		"zero key":     {make([]byte, 32), plain, keyrelease.ErrPublicKey},
		"low order":    {append([]byte{1}, make([]byte, 31)...), plain, keyrelease.ErrPublicKey},
		"large secret": {pub, make([]byte, keyrelease.MaxPlaintext+1), keyrelease.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			enc, ciphertext, confirm, err := keyrelease.Seal(tt.pub, digest, request, tt.plaintext)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if enc != nil || ciphertext != nil || confirm != nil {
				t.Error("something came out")
			}
		})
	}
}

func TestCheckConfirmRefuses(t *testing.T) {
	want := bytes.Repeat([]byte{5}, keyrelease.ConfirmSize)
	for name, tt := range map[string]struct{ want, got []byte }{
		"nothing":           {want, nil},
		"short":             {want, want[:31]},
		"long":              {want, append(bytes.Clone(want), 5)},
		"another":           {want, make([]byte, keyrelease.ConfirmSize)},
		"nothing announced": {nil, nil},
		"short announced":   {want[:16], want[:16]},
	} {
		if err := keyrelease.CheckConfirm(tt.want, tt.got); !errors.Is(err, keyrelease.ErrUnconfirmed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := keyrelease.CheckConfirm(want, bytes.Clone(want)); err != nil {
		t.Error(err)
	}
}

func TestNewKey(t *testing.T) {
	if bytes.Equal(newKey(t, 0).PublicKey(), newKey(t, 1).PublicKey()) {
		t.Error("two seeds give one key")
	}
	if k := newKey(t, 0); len(k.PublicKey()) != keyrelease.PublicKeySize {
		t.Errorf("the public key has %d bytes", len(k.PublicKey()))
	}
	for name, r := range map[string]io.Reader{
		"broken": iotest.ErrReader(io.ErrClosedPipe),
		"short":  io.LimitReader(rand.Reader, 31),
	} {
		if k, err := keyrelease.NewKey(r); err == nil || k != nil {
			t.Errorf("%s: got %v, %v", name, k, err)
		}
	}
	k := newKey(t, 0)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, k); !strings.HasSuffix(s, "(hidden)") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

func TestErrorsAreClassed(t *testing.T) {
	for err, want := range map[*status.Error]status.Code{
		keyrelease.ErrUnsealable: status.Untrusted, keyrelease.ErrPublicKey: status.Untrusted,
		keyrelease.ErrUnconfirmed: status.Untrusted, keyrelease.ErrTooLarge: status.InvalidArgument,
	} {
		if err.Code != want || !strings.HasPrefix(err.Reason, "provision.") {
			t.Errorf("%s is %s", err.Reason, err.Code)
		}
	}
	if keyrelease.ErrUnsealable.Reason != "provision.unsealable" {
		t.Errorf("reason %s", keyrelease.ErrUnsealable.Reason)
	}
}

// TestPurposes: what is sealed for a build opens for a build alone.
func TestPurposes(t *testing.T) {
	k := newKey(t, 0)
	enc, ciphertext, err := keyrelease.SealBuild(k.PublicKey(), digest, request, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.OpenBuild(enc, ciphertext, digest, request); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("got %q, %v", got, err)
	}
	otherDigest, otherRequest := digest, request
	otherDigest[0] ^= 1
	otherRequest[15] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"as an order":         func() ([]byte, error) { b, _, err := k.Open(enc, ciphertext, digest, request); return b, err },
		"another key":         func() ([]byte, error) { return newKey(t, 1).OpenBuild(enc, ciphertext, digest, request) },
		"another attestation": func() ([]byte, error) { return k.OpenBuild(enc, ciphertext, otherDigest, request) },
		"another request":     func() ([]byte, error) { return k.OpenBuild(enc, ciphertext, digest, otherRequest) },
		"no enc":              func() ([]byte, error) { return k.OpenBuild(nil, ciphertext, digest, request) },
		"no ciphertext":       func() ([]byte, error) { return k.OpenBuild(enc, nil, digest, request) },
		"an order": func() ([]byte, error) {
			enc, ciphertext, _, err := keyrelease.Seal(k.PublicKey(), digest, request, plain)
			if err != nil {
				t.Fatal(err)
			}
			return k.OpenBuild(enc, ciphertext, digest, request)
		},
	} {
		if got, err := open(); err != keyrelease.ErrUnsealable || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if _, err := k.OpenBuild(enc, make([]byte, keyrelease.MaxCiphertext+1), digest, request); err != keyrelease.ErrTooLarge {
		t.Errorf("too large: %v", err)
	}
	if _, _, err := keyrelease.SealBuild(make([]byte, 32), digest, request, plain); err != keyrelease.ErrPublicKey {
		t.Errorf("a zero key: %v", err)
	}
}
