package tpmtemplate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func withKey(t testing.TB, area tpm2.TPMTPublic, curve elliptic.Curve) ([]byte, *ecdsa.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	n := (len(raw) - 1) / 2
	area.Unique = point(raw[1:1+n], raw[1+n:])
	return tpm2.Marshal(area), &key.PublicKey
}

// TestGoldenAreas fixes the templates' bytes: they are the identity of keys that
// verifiers and machines of several versions must agree on.
func TestGoldenAreas(t *testing.T) {
	eks := EKs()
	for name, tt := range map[string]struct {
		area tpm2.TPMTPublic
		want string
	}{
		"AK":        {AK(), "0023000b00050472000000100018000b0003001000000000"},
		"EK, P-256": {eks[0].Public, "0023000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa0006008000430010000300100020000000000000000000000000000000000000000000000000000000000000000000200000000000000000000000000000000000000000000000000000000000000000"},
		"EK, P-384": {eks[1].Public, "0023000c000300f20030b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e1200060100004300100004001000000000"},
	} {
		if got := hex.EncodeToString(tpm2.Marshal(tt.area)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestParseAK(t *testing.T) {
	area, key := withKey(t, AK(), elliptic.P256())
	got, name, err := ParseAK(area)
	if err != nil || !got.Equal(key) || len(name) != 34 || !bytes.Equal(name[:2], []byte{0, 0x0b}) {
		t.Errorf("got %v, %x, %v", got, name, err)
	}
	for bit := range 8 * 20 {
		bad := bytes.Clone(area)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, err := ParseAK(bad); err == nil {
			t.Errorf("bit %d of the area was flipped and it was accepted", bit)
		}
	}
	p384, _ := withKey(t, AK(), elliptic.P384())
	ek, _ := withKey(t, EKs()[0].Public, elliptic.P256())
	short := AK()
	short.Unique = point([]byte{1}, []byte{2})
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut": area[:len(area)-1], "more": append(bytes.Clone(area), 0),
		"another curve's point": p384, "an endorsement key": ek, "no point": tpm2.Marshal(AK()), "a short point": tpm2.Marshal(short),
	} {
		if _, _, err := ParseAK(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestParseEK(t *testing.T) {
	kinds := EKs()
	p256, key256 := withKey(t, kinds[0].Public, elliptic.P256())
	p384, key384 := withKey(t, kinds[1].Public, elliptic.P384())
	for name, tt := range map[string]struct {
		area []byte
		key  *ecdsa.PublicKey
	}{"P-256": {p256, key256}, "P-384": {p384, key384}} {
		_, got, err := ParseEK(tt.area)
		if err != nil || !SameKey(got, tt.key) || SameKey(tt.key, key256) != (name == "P-256") {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for bits, ok := range map[int]bool{2048: true, 1024: false, 3072: false} {
		area := kinds[2].Public
		n := make([]byte, bits/8)
		n[0], n[len(n)-1] = 0x80, 1
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: n})
		_, key, err := ParseEK(tpm2.Marshal(area))
		if (err == nil) != ok {
			t.Errorf("RSA %d: got %v", bits, err)
		}
		if ok && !SameKey(key, &rsa.PublicKey{N: key.(*rsa.PublicKey).N, E: 65537}) {
			t.Errorf("RSA %d: got %v", bits, key)
		}
	}
	ak, _ := withKey(t, AK(), elliptic.P256())
	mixed, _ := withKey(t, kinds[0].Public, elliptic.P384())
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut": p384[:20], "more": append(bytes.Clone(p256), 1), "an attestation key": ak, "another curve's point": mixed,
	} {
		if _, _, err := ParseEK(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if SameKey("no key", key256) {
		t.Error("a text is a key")
	}
}

func TestRegisters(t *testing.T) {
	for name, pcrs := range map[string][]uint32{"quoted": QuotePCRs(), "sealed": SealPCRs()} {
		if !slices.IsSorted(pcrs) || slices.ContainsFunc(pcrs, func(p uint32) bool { return p == 10 || p > 15 }) {
			t.Errorf("%s: got %v, want ascending, without those that anyone moves or resets", name, pcrs)
		}
	}
	if slices.Contains(SealPCRs(), 14) {
		t.Error("the data key is sealed to the pod log's register")
	}
}

func FuzzParse(f *testing.F) {
	ak, _ := withKey(f, AK(), elliptic.P256())
	ek, _ := withKey(f, EKs()[1].Public, elliptic.P384())
	f.Add(ak)
	f.Add(ek)
	f.Add(tpm2.Marshal(tpm2.RSAEKTemplate))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, name, akErr := ParseAK(b)
		_, key, ekErr := ParseEK(b)
		if akErr == nil && (ekErr == nil || len(name) != 34) {
			t.Errorf("%x is both keys or has no name", b)
		}
		if ekErr == nil && key == nil {
			t.Errorf("%x: no key", b)
		}
	})
}
