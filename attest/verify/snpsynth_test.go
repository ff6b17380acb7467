package verify

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	sevtest "github.com/google/go-sev-guest/testing"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
)

// chip is a processor under a synthetic CA that certifies as AMD's does.
type chip struct {
	*sevtest.AmdSigner
	line          string
	family, model byte
	tcb           uint64
	id            [abi.ChipIDSize]byte
	// vlek: reports are signed by the loaded key instead of the chip's own.
	vlek bool
	made time.Time
}

// The machines that the tests have.
var (
	milan = chip{line: "Milan", family: 0x19, model: 0x01, tcb: 115<<56 | 8<<48 | 3}
	genoa = chip{line: "Genoa", family: 0x19, model: 0x11, tcb: 72<<56 | 23<<48 | 9}
	turin = chip{line: "Turin", family: 0x1a, model: 0x02, tcb: 80<<56 | 4<<24 | 1<<16 | 2<<8 | 1}
)

// make returns the chip with keys and certificates.
func (c chip) make(t testing.TB, vlek bool) *chip {
	t.Helper()
	c.made = time.Now().Add(-time.Hour).Truncate(time.Second)
	c.vlek = vlek
	for i := range c.id {
		c.id[i] = byte(i + 1)
	}
	if c.line == "Turin" {
		clear(c.id[8:])
	}
	b := &sevtest.AmdSignerBuilder{
		Keys: sevtest.DefaultAmdKeys(), ProductName: c.line + "-B1",
		ArkCreationTime: c.made, AskCreationTime: c.made, AsvkCreationTime: c.made, VcekCreationTime: c.made, VlekCreationTime: c.made,
		ArkCustom:  sevtest.CertOverride{SerialNumber: big.NewInt(0x10000)},
		AskCustom:  sevtest.CertOverride{SerialNumber: big.NewInt(0x10001)},
		AsvkCustom: sevtest.CertOverride{SerialNumber: big.NewInt(0x10101)},
		VcekCustom: sevtest.CertOverride{Extensions: c.extensions(false)},
		VlekCustom: sevtest.CertOverride{Extensions: c.extensions(true)},
	}
	var err error
	if c.AmdSigner, err = b.TestOnlyCertChain(); err != nil {
		t.Fatal(err)
	}
	return &c
}

func (c *chip) extensions(vlek bool) []pkix.Extension {
	marshal := func(v any, params string) []byte {
		b, err := asn1.MarshalWithParams(v, params)
		if err != nil {
			panic(err)
		}
		return b
	}
	product := c.line + "-B1"
	if vlek {
		product = c.line
	}
	exts := []pkix.Extension{
		{Id: kds.OidStructVersion, Value: marshal(0, "")},
		{Id: kds.OidProductName1, Value: marshal(product, "ia5")},
	}
	order := []asn1.ObjectIdentifier{kds.OidBlSpl, kds.OidTeeSpl, kds.OidSpl4, kds.OidSpl5, kds.OidSpl6, kds.OidSpl7, kds.OidSnpSpl, kds.OidUcodeSpl}
	if c.line == "Turin" {
		order = []asn1.ObjectIdentifier{oidFMC, kds.OidBlSpl, kds.OidTeeSpl, kds.OidSnpSpl, kds.OidSpl5, kds.OidSpl6, kds.OidSpl7, kds.OidUcodeSpl}
	}
	for i, id := range order {
		exts = append(exts, pkix.Extension{Id: id, Value: marshal(int(c.tcb>>(8*i)&0xff), "")})
	}
	switch {
	case vlek:
		exts = append(exts, pkix.Extension{Id: kds.OidCspID, Value: marshal("a cloud", "ia5")})
	case c.line == "Turin":
		exts = append(exts, pkix.Extension{Id: kds.OidHwid, Value: c.id[:8]})
	default:
		exts = append(exts, pkix.Extension{Id: kds.OidHwid, Value: c.id[:]})
	}
	return exts
}

func (c *chip) roots() Roots { return TrustSNP(c.line, c.Ark, c.Ask, c.Asvk) }

// chain is the certificates of the key that signs, leaf first.
func (c *chip) chain() [][]byte {
	if c.vlek {
		return [][]byte{c.Vlek.Raw, c.Asvk.Raw, c.Ark.Raw}
	}
	return [][]byte{c.Vcek.Raw, c.Ask.Raw, c.Ark.Raw}
}

// Offsets in a report (56860, table 23).
const (
	atVersion, atSVN, atPolicy, atFamily, atImage     = 0x00, 0x04, 0x08, 0x10, 0x20
	atVMPL, atAlgorithm, atCurrentTCB, atPlatform     = 0x30, 0x34, 0x38, 0x40
	atSigner, atReportData, atMeasurement, atHostData = 0x48, 0x50, 0x90, 0xC0
	atIDKey, atAuthorKey, atReportID, atReportIDMA    = 0xE0, 0x110, 0x140, 0x160
	atReportedTCB, atProcessor, atChipID              = 0x180, 0x188, 0x1A0
	atCommittedTCB, atCurrent, atCommitted            = 0x1E0, 0x1E8, 0x1EC
	atLaunchTCB, atLaunchMit, atCurrentMit            = 0x1F0, 0x1F8, 0x200
)

// report returns signed evidence; change may spoil it before it is signed.
func (c *chip) evidence(t testing.TB, binding [64]byte, change func([]byte)) attest.Evidence {
	t.Helper()
	le := binary.LittleEndian
	r := make([]byte, abi.ReportSize)
	le.PutUint32(r[atVersion:], abi.ReportVersion3)
	le.PutUint64(r[atPolicy:], 1<<17)
	le.PutUint32(r[atAlgorithm:], abi.SignEcdsaP384Sha384)
	for _, at := range []int{atCurrentTCB, atReportedTCB, atCommittedTCB, atLaunchTCB} {
		le.PutUint64(r[at:], c.tcb)
	}
	copy(r[atReportData:], binding[:])
	r[atProcessor], r[atProcessor+1], r[atProcessor+2] = c.family, c.model, 1
	copy(r[atChipID:], c.id[:])
	key := c.Keys.Vcek
	if c.vlek {
		r[atSigner], key = byte(abi.VlekReportSigner)<<2, c.Keys.Vlek
	}
	if change != nil {
		change(r)
	}
	digest := sha512.Sum384(abi.SignedComponent(r))
	sigR, sigS, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := abi.SetSignature(sigR, sigS, r); err != nil {
		t.Fatal(err)
	}
	return attest.Evidence{Type: attest.SEVSNP, Report: r, Certificates: c.chain()}
}

// version makes a report one of an older version.
func version(v uint32) func([]byte) {
	return func(r []byte) {
		binary.LittleEndian.PutUint32(r[atVersion:], v)
		if v < abi.ReportVersion3 {
			clear(r[atProcessor : atProcessor+3])
		}
	}
}

// crl is a revocation list as AMD publishes it; change may spoil it.
func (c *chip) crl(t testing.TB, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t.Helper()
	list := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: c.made, NextUpdate: c.made.Add(365 * 24 * time.Hour),
		SignatureAlgorithm: x509.SHA384WithRSAPSS,
	}
	for _, cert := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: c.made})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.Ark, c.Keys.Ark)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func withCRL(e attest.Evidence, der []byte) attest.Evidence {
	e.Endorsements = []attest.Endorsement{{Kind: attest.SNPCRL, Body: der}}
	return e
}

// trustOf adds a chip's CA to those of other lines.
func trustOf(chips ...*chip) Roots {
	r := Roots{snp: make(map[string]*trust.ProductCerts)}
	for _, c := range chips {
		r.snp[c.line] = &trust.ProductCerts{Ark: c.Ark, Ask: c.Ask, Asvk: c.Asvk}
	}
	return r
}
