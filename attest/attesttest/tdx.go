package attesttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"apocryph/attest"
)

// TDX is a synthetic Intel with one TDX platform. It certifies as Intel does,
// under a root of its own, which only tests of the verifier can have trusted.
type TDX struct {
	// Root, CA, PCK and TCBSigner are the root, the issuer of platform
	// certificates, the platform's certificate, and who signs TCB info and QE
	// identity.
	Root, CA, PCK, TCBSigner *x509.Certificate
	// RootKey, CAKey, PCKKey and TCBKey are theirs. AttestationKey is the quoting
	// enclave's.
	RootKey, CAKey, PCKKey, TCBKey, AttestationKey *ecdsa.PrivateKey
	Platform                                       TDXPlatform

	now time.Time
}

// TDXPlatform is what a PCK certificate says.
type TDXPlatform struct {
	PPID   [16]byte
	FMSPC  [6]byte
	PCEID  [2]byte
	SVNs   [16]byte
	PCESVN int
}

// NewTDX makes a platform with new keys, good for a year around now; change may
// be nil.
func NewTDX(t testing.TB, now time.Time, change func(*TDXPlatform)) *TDX {
	t.Helper()
	p := TDXPlatform{
		PPID:  [16]byte{0x08, 0x9d, 0xdf, 0xdb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		FMSPC: [6]byte{0x50, 0x80, 0x6f}, SVNs: [16]byte{3, 3, 2, 2, 2, 1, 0, 2}, PCESVN: 11,
	}
	if change != nil {
		change(&p)
	}
	m := &TDX{Platform: p, now: now.UTC().Truncate(time.Second)}
	for _, k := range []**ecdsa.PrivateKey{&m.RootKey, &m.CAKey, &m.PCKKey, &m.TCBKey, &m.AttestationKey} {
		*k = TDXKey(t)
	}
	m.Root = m.Certify(t, "Intel SGX Root CA", &m.RootKey.PublicKey, true, nil, m.RootKey)
	m.CA = m.Certify(t, "Intel SGX PCK Platform CA", &m.CAKey.PublicKey, true, m.Root, m.RootKey)
	m.PCK = m.Certify(t, "Intel SGX PCK Certificate", &m.PCKKey.PublicKey, false, m.CA, m.CAKey, p.Extension(t))
	m.TCBSigner = m.Certify(t, "Intel SGX TCB Signing", &m.TCBKey.PublicKey, false, m.Root, m.RootKey)
	return m
}

// TDXKey makes a key as all of Intel's are.
func TDXKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

// Certify issues a certificate in the form of Intel's; a nil issuer makes it a
// root.
func (m *TDX) Certify(t testing.TB, name string, key *ecdsa.PublicKey, ca bool, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey, extensions ...pkix.Extension) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	must(t, err)
	point, err := key.Bytes()
	must(t, err)
	id := sha256.Sum256(point)
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{
			CommonName: name, Organization: []string{"Intel Corporation"}, Locality: []string{"Santa Clara"},
			Province: []string{"CA"}, Country: []string{"US"},
		},
		NotBefore: m.now.AddDate(0, -6, 0), NotAfter: m.now.AddDate(0, 6, 0), SubjectKeyId: id[:20],
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: ca, ExtraExtensions: extensions,
		CRLDistributionPoints: []string{"https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"},
	}
	if ca {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if issuer == nil {
		issuer = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key, issuerKey)
	must(t, err)
	c, err = x509.ParseCertificate(der)
	must(t, err)
	return c
}

type sgxPair struct {
	ID    asn1.ObjectIdentifier
	Value any
}

func sgxOID(arcs ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, arcs...)
}

// Extension is what makes a certificate a PCK's (Intel SGX PCK Certificate and
// CRL Profile Specification, 1.3.5).
func (p TDXPlatform) Extension(t testing.TB) pkix.Extension {
	t.Helper()
	var tcb []sgxPair
	for i, n := range p.SVNs {
		tcb = append(tcb, sgxPair{sgxOID(2, i+1), int(n)})
	}
	tcb = append(tcb, sgxPair{sgxOID(2, 17), p.PCESVN}, sgxPair{sgxOID(2, 18), p.SVNs[:]})
	der, err := asn1.Marshal([]sgxPair{
		{sgxOID(1), p.PPID[:]}, {sgxOID(2), tcb}, {sgxOID(3), p.PCEID[:]}, {sgxOID(4), p.FMSPC[:]}, {sgxOID(5), asn1.Enumerated(1)},
	})
	must(t, err)
	return pkix.Extension{Id: sgxOID(), Value: der}
}

// Evidence is an honest quote for claims, with collateral.
func (m *TDX) Evidence(t testing.TB, claims []byte) attest.Evidence {
	t.Helper()
	return attest.Evidence{
		Type: attest.TDX, Report: m.Quote(t, attest.ReportData(claims), nil), Endorsements: m.Collateral(t, nil),
	}
}

// TDXChain is certificates in PEM, as quotes have them.
func TDXChain(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

// TDXSign signs as quotes and Intel's service do: two numbers over the SHA-256.
func TDXSign(t testing.TB, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	must(t, err)
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}
