package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-sev-guest/abi"
	sevtest "github.com/google/go-sev-guest/testing"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
	"apocryph/proto/status"
)

// TestRealReportHasDebug holds a real Milan machine's report against its own
// report data: everything is right but its guest policy, which allows debugging.
func TestRealReportHasDebug(t *testing.T) {
	e := attest.Evidence{Type: attest.SEVSNP, Report: testdata.AttestationBytes, Certificates: [][]byte{testdata.VcekBytes}}
	s := &steps{anchor: attest.AnchorHardware}
	_, err := checkSNP(s, e, [64]byte(testdata.AttestationBytes[0x50:0x90]), Roots{}, time.Now())
	last := s.checks[len(s.checks)-1]
	if status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != "attest.debug_tee" || last.Code != "ATT-050" {
		t.Errorf("got %v, want ATT-050", err)
	}
	root := trust.DefaultRootCerts["Milan"].ProductCerts.Ark
	if got, want := s.checks[0].Got, sha256.Sum256(root.Raw); got != "root sha256:"+short(want[:]) {
		t.Errorf("got %s, want AMD's Milan root", got)
	}
}

func TestRealReportFlipped(t *testing.T) {
	binding := [64]byte(testdata.AttestationBytes[0x50:0x90])
	for bit := 0; bit < 8*len(testdata.AttestationBytes); bit += 41 {
		raw := bytes.Clone(testdata.AttestationBytes)
		raw[bit/8] ^= 1 << (bit % 8)
		e := attest.Evidence{Type: attest.SEVSNP, Report: raw, Certificates: [][]byte{testdata.VcekBytes}}
		_, err := checkSNP(&steps{}, e, binding, Roots{}, time.Now())
		if reason := status.ReasonOf(err); reason == "attest.debug_tee" || reason == "" {
			t.Errorf("bit %d: got %v, want a refusal before the guest policy is read", bit, err)
		}
	}
}

// signer makes reports of any content under test roots.
type signer struct {
	*sevtest.AmdSigner
	roots Roots
}

func newSigner(t *testing.T) signer {
	t.Helper()
	a, err := sevtest.DefaultTestOnlyCertChain("Milan-B1", time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	root := trust.AMDRootCertsProduct("Milan")
	root.ProductCerts = &trust.ProductCerts{Ark: a.Ark, Ask: a.Ask, Asvk: a.Asvk}
	return signer{a, Roots{snp: map[string][]*trust.AMDRootCerts{"Milan": {root}}}}
}

func (s signer) evidence(t *testing.T, binding [64]byte, change func([]byte)) attest.Evidence {
	t.Helper()
	r := make([]byte, abi.ReportSize)
	binary.LittleEndian.PutUint32(r[0x00:], abi.ReportVersion2)
	binary.LittleEndian.PutUint64(r[0x08:], 1<<17)
	binary.LittleEndian.PutUint32(r[0x34:], abi.SignEcdsaP384Sha384)
	copy(r[0x50:], binding[:])
	copy(r[0x1A0:], s.HWID[:])
	if change != nil {
		change(r)
	}
	digest := sha512.Sum384(abi.SignedComponent(r))
	sigR, sigS, err := ecdsa.Sign(rand.Reader, s.Keys.Vcek, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := abi.SetSignature(sigR, sigS, r); err != nil {
		t.Fatal(err)
	}
	return attest.Evidence{Type: attest.SEVSNP, Report: r, Certificates: [][]byte{s.Vcek.Raw}}
}

func TestSNP(t *testing.T) {
	s := newSigner(t)
	binding := attest.ReportData([]byte("claims"))
	policyBit := func(bit uint) func([]byte) { return func(r []byte) { r[0x08+bit/8] |= 1 << (bit % 8) } }
	tests := map[string]struct {
		change func([]byte)
		reason string
	}{
		"plain":                    {nil, ""},
		"smt":                      {policyBit(16), ""},
		"migration":                {policyBit(18), ""},
		"cxl":                      {policyBit(21), ""},
		"vmpl 3":                   {func(r []byte) { r[0x30] = 3 }, ""},
		"masked chip":              {func(r []byte) { clear(r[0x1A0:0x1E0]) }, ""},
		"debug":                    {policyBit(19), "attest.debug_tee"},
		"other claims":             {func(r []byte) { r[0x50] ^= 1 }, "attest.binding"},
		"last byte of the binding": {func(r []byte) { r[0x8f] ^= 1 }, "attest.binding"},
		"no report data":           {func(r []byte) { clear(r[0x50:0x90]) }, "attest.binding_missing"},
		"TCB not the certificate's": {func(r []byte) {
			r[0x180], r[0x38], r[0x1E0] = 1, 1, 1
		}, "attest.tcb_status"},
		"provisional firmware": {func(r []byte) { r[0x38] = 1 }, "attest.tcb_status"},
		"another chip":         {func(r []byte) { r[0x1A0] ^= 1 }, "attest.tcb_status"},
		"version 9":            {func(r []byte) { r[0] = 9 }, "attest.signature"},
		"unknown policy bit":   {policyBit(40), "attest.parse"},
		"unknown algorithm":    {func(r []byte) { r[0x34] = 2 }, "attest.signature"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			facts, err := checkSNP(&steps{}, s.evidence(t, binding, tt.change), binding, s.roots, time.Now())
			if got := status.ReasonOf(err); got != tt.reason {
				t.Fatalf("got %q (%v), want %q", got, err, tt.reason)
			}
			if (facts != nil) != (tt.reason == "") {
				t.Errorf("got facts %+v", facts)
			}
		})
	}
	facts, err := checkSNP(&steps{}, s.evidence(t, binding, func(r []byte) {
		r[0x04] = 7
		policyBit(16)(r)
		policyBit(18)(r)
		r[0x30] = 2
		r[0xC0] = 9
	}), binding, s.roots, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !facts.SMT || !facts.Migratable || facts.VMPL != 2 || facts.GuestSVN != 7 || facts.HostData[0] != 9 ||
		facts.Product != "Milan" || facts.RootFingerprint != sha256.Sum256(s.Ark.Raw) {
		t.Errorf("got %+v", facts)
	}
	if _, err := checkSNP(&steps{}, s.evidence(t, binding, nil), binding, Roots{}, time.Now()); status.ReasonOf(err) != "attest.chain" {
		t.Errorf("with AMD's roots: got %v, want attest.chain", err)
	}
}

// TestExpectationsCannotBeEmpty: the library takes an empty expectation for none.
func TestExpectationsCannotBeEmpty(t *testing.T) {
	if x, err := newExpectations([64]byte{}); err == nil {
		t.Errorf("got %v", x)
	}
	s := newSigner(t)
	if _, err := checkSNP(&steps{}, s.evidence(t, [64]byte{}, nil), [64]byte{}, s.roots, time.Now()); status.CodeOf(err) != status.Untrusted {
		t.Errorf("got %v, want untrusted", err)
	}
}

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
