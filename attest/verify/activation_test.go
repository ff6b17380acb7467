package verify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"apocryph/attest"
	"apocryph/attest/tpmtemplate"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

var (
	oidEK  = asn1.ObjectIdentifier{2, 23, 133, 8, 1}
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// vendor is a TPM manufacturer in software: what it certifies is well-formed.
type vendor struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newVendor(t testing.TB) vendor {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vendor"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	root, err := x509.ParseCertificate(der)
	check(t, err)
	return vendor{key, root}
}

func (v vendor) certify(t testing.TB, pub any, change func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidEK},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		// A directory name, critical, as the TCG has it and swtpm makes it.
		ExtraExtensions: []pkix.Extension{{Id: oidSAN, Critical: true, Value: []byte{0x30, 0x04, 0xa4, 0x02, 0x30, 0x00}}},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, v.root, pub, v.key)
	check(t, err)
	return der
}

func eccArea(template tpm2.TPMTPublic, key *ecdsa.PublicKey) []byte {
	raw, err := key.Bytes()
	if err != nil {
		panic(err)
	}
	n := (len(raw) - 1) / 2
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: raw[1 : 1+n]}, Y: tpm2.TPM2BECCParameter{Buffer: raw[1+n:]},
	})
	return tpm2.Marshal(template)
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	check(t, err)
	return &key.PublicKey
}

// paperTPM is an identity that a vendor certified for keys in no TPM.
func paperTPM(t testing.TB, v vendor, change func(*x509.Certificate)) attest.TPMIdentity {
	t.Helper()
	ek := ecKey(t, elliptic.P256())
	return attest.TPMIdentity{
		EKCertificates: [][]byte{v.certify(t, ek, change)},
		EKPublic:       eccArea(tpm2.ECCEKTemplate, ek),
		AKPublic:       eccArea(tpmtemplate.AK(), ecKey(t, elliptic.P256())),
	}
}

func trusting(v vendor) verify.Roots { return verify.Roots{EKRoots: []*x509.Certificate{v.root}} }

func TestNewActivationKinds(t *testing.T) {
	v := newVendor(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	rsaArea := tpm2.RSAEKTemplate
	rsaArea.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: rsaKey.N.Bytes()})
	p256, p384 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	for _, tt := range []struct {
		kind string
		pub  any
		area []byte
	}{
		{"ECC P-256", p256, eccArea(tpmtemplate.EKs()[0].Public, p256)},
		{"ECC P-384", p384, eccArea(tpmtemplate.EKs()[1].Public, p384)},
		{"RSA 2048", &rsaKey.PublicKey, tpm2.Marshal(rsaArea)},
	} {
		id := paperTPM(t, v, nil)
		id.EKCertificates = [][]byte{v.certify(t, tt.pub, nil)}
		id.EKPublic = tt.area
		act, want, err := verify.NewActivation(id, trusting(v), rand.Reader, time.Now())
		if err != nil {
			t.Errorf("%s: %v", tt.kind, err)
			continue
		}
		if err := act.Check(); err != nil || len(want.AKName()) != 34 || len(want.Checks()) != 2 {
			t.Errorf("%s: got %v, %v", tt.kind, err, want.Checks())
		}
	}
}

func TestNewActivationRefuses(t *testing.T) {
	v, stranger := newVendor(t), newVendor(t)
	ak := func(change func(*tpm2.TPMTPublic)) func(*attest.TPMIdentity) {
		return func(id *attest.TPMIdentity) {
			area := tpmtemplate.AK()
			change(&area)
			id.AKPublic = eccArea(area, ecKey(t, elliptic.P256()))
		}
	}
	attr := func(change func(*tpm2.TPMAObject)) func(*attest.TPMIdentity) {
		return ak(func(p *tpm2.TPMTPublic) { change(&p.ObjectAttributes) })
	}
	tests := map[string]struct {
		cert   func(*x509.Certificate)
		change func(*attest.TPMIdentity)
		code   string
	}{
		"no certificate":       {nil, func(id *attest.TPMIdentity) { id.EKCertificates = nil }, "ATT-011"},
		"certificate of noise": {nil, func(id *attest.TPMIdentity) { id.EKCertificates[0] = []byte("noise") }, "ATT-091"},
		"issuer of noise":      {nil, func(id *attest.TPMIdentity) { id.EKCertificates = append(id.EKCertificates, []byte("noise")) }, "ATT-091"},
		"unknown vendor":       {nil, func(id *attest.TPMIdentity) { *id = paperTPM(t, stranger, nil) }, "ATT-031"},
		"unknown vendor with its root": {nil, func(id *attest.TPMIdentity) {
			*id = paperTPM(t, stranger, nil)
			id.EKCertificates = append(id.EKCertificates, stranger.root.Raw)
		}, "ATT-031"},
		"no usage": {func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }, nil, "ATT-091"},
		"a server's": {func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, nil, "ATT-091"},
		"a CA's":        {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, nil, "ATT-091"},
		"expired":       {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, "ATT-091"},
		"not yet valid": {func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, nil, "ATT-091"},
		"other critical extension": {func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}, nil, "ATT-091"},
		"another key than the certificate's": {nil, func(id *attest.TPMIdentity) { id.EKPublic = paperTPM(t, v, nil).EKPublic }, "ATT-091"},
		"endorsement key of noise":           {nil, func(id *attest.TPMIdentity) { id.EKPublic = []byte("noise") }, "ATT-091"},
		"endorsement key with a byte more":   {nil, func(id *attest.TPMIdentity) { id.EKPublic = append(id.EKPublic, 0) }, "ATT-091"},
		"endorsement key off the curve":      {nil, func(id *attest.TPMIdentity) { id.EKPublic[len(id.EKPublic)-1] ^= 1 }, "ATT-091"},
		"attestation key as endorsement key": {nil, func(id *attest.TPMIdentity) { id.EKPublic = id.AKPublic }, "ATT-091"},
		"endorsement key that signs": {nil, func(id *attest.TPMIdentity) {
			area := tpm2.ECCEKTemplate
			area.ObjectAttributes.SignEncrypt = true
			key := ecKey(t, elliptic.P256())
			id.EKCertificates[0], id.EKPublic = v.certify(t, key, nil), eccArea(area, key)
		}, "ATT-091"},
		"attestation key of noise":           {nil, func(id *attest.TPMIdentity) { id.AKPublic = []byte("noise") }, "ATT-090"},
		"attestation key with a byte more":   {nil, func(id *attest.TPMIdentity) { id.AKPublic = append(id.AKPublic, 0) }, "ATT-090"},
		"attestation key off the curve":      {nil, func(id *attest.TPMIdentity) { id.AKPublic[len(id.AKPublic)-1] ^= 1 }, "ATT-090"},
		"endorsement key as attestation key": {nil, func(id *attest.TPMIdentity) { id.AKPublic = id.EKPublic }, "ATT-090"},
		"not restricted":                     {nil, attr(func(a *tpm2.TPMAObject) { a.Restricted = false }), "ATT-090"},
		"not fixed to the TPM":               {nil, attr(func(a *tpm2.TPMAObject) { a.FixedTPM = false }), "ATT-090"},
		"not fixed to its parent":            {nil, attr(func(a *tpm2.TPMAObject) { a.FixedParent = false }), "ATT-090"},
		"made outside":                       {nil, attr(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false }), "ATT-090"},
		"decrypts too":                       {nil, attr(func(a *tpm2.TPMAObject) { a.Decrypt = true }), "ATT-090"},
		"with a policy":                      {nil, ak(func(p *tpm2.TPMTPublic) { p.AuthPolicy = tpm2.TPM2BDigest{Buffer: make([]byte, 32)} }), "ATT-090"},
		"with another name hash":             {nil, ak(func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA1 }), "ATT-090"},
		"without name hash":                  {nil, ak(func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgNull }), "ATT-090"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			id := paperTPM(t, v, tt.cert)
			if tt.change != nil {
				tt.change(&id)
			}
			act, want, err := verify.NewActivation(id, trusting(v), rand.Reader, time.Now())
			if status.CodeOf(err) != status.Untrusted || act.CredentialBlob != nil {
				t.Fatalf("got %v, activation %v", err, act)
			}
			refusedChecks(t, want.Checks(), err, tt.code)
			notAccepted(t, want)
		})
	}
}

// notAccepted: what a refused identity left behind is no expectation.
func notAccepted(t *testing.T, want *verify.Expected) {
	t.Helper()
	x := softRound(t, nil)
	x.evidence, x.want = attest.Evidence{Type: attest.TPM2, TPM: &attest.TPMQuote{}}, want
	r, err := x.verify()
	refused(t, r, err, "ATT-092")
}

func TestActivationSecretIsFreshAndPrivate(t *testing.T) {
	v := newVendor(t)
	id := paperTPM(t, v, nil)
	seen := map[string]bool{}
	for range 3 {
		act, want, err := verify.NewActivation(id, trusting(v), rand.Reader, time.Now())
		check(t, err)
		seen[string(act.CredentialBlob)] = true
		text := fmt.Sprintf("%v %+v %#v %s", want, want, want, want)
		if strings.Count(text, "expected quote of") != 4 {
			t.Errorf("printing shows %s", text)
		}
	}
	if len(seen) != 3 {
		t.Errorf("got %d different credentials of 3", len(seen))
	}
	_, want, err := verify.NewActivation(id, trusting(v), bytes.NewReader(nil), time.Now())
	if status.CodeOf(err) != status.Internal {
		t.Errorf("without randomness: got %v, want internal", err)
	}
	notAccepted(t, want)
}
