package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"testing/fstest"
	"time"
)

func TestParseRoots(t *testing.T) {
	if got := BuiltinEKRoots(); len(got) != 0 {
		t.Errorf("got %d roots: name them in this test and in the README", len(got))
	}
	cert := selfSigned(t, 2048)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	got, err := parseRoots(fstest.MapFS{
		"ekroots/a.pem":     {Data: append(append([]byte("# a comment\n"), text...), text...)},
		"ekroots/README.md": {Data: []byte("no root")},
	})
	if err != nil || len(got) != 2 {
		t.Errorf("got %d, %v", len(got), err)
	}
	bad := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("noise")})
	if _, err := parseRoots(fstest.MapFS{"ekroots/b.pem": {Data: bad}}); err == nil {
		t.Error("noise was taken for a root")
	}
}

// TestHugeKeys: a certificate within the cap may hold a key whose every
// operation takes seconds.
func TestHugeKeys(t *testing.T) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Lsh(big.NewInt(1), maxRSABits)
	huge := &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
	der, err := x509.CreateCertificate(rand.Reader, template, template, huge, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseCertificate(der); err == nil {
		t.Error("a key of 8193 bits was accepted")
	}
	if _, err := parseCertificate(selfSigned(t, 2048)); err != nil {
		t.Error(err)
	}
}

func selfSigned(t *testing.T, bits int) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
