package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"

	"apocryph/attest"
	"apocryph/proto/status"
)

func TestCRL(t *testing.T) {
	c := milan.make(t, false)
	v := milan.make(t, true)
	other := genoa.make(t, false)
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}
	year := 365 * 24 * time.Hour
	tests := map[string]struct {
		chip   *chip
		list   []byte
		reason string
	}{
		"ASK revoked":          {c, c.crl(t, nil, c.Ask), "attest.revoked"},
		"root revoked":         {c, c.crl(t, nil, c.Ark), "attest.revoked"},
		"last of many":         {c, c.crl(t, nil, c.Asvk, c.Asvk, c.Ask), "attest.revoked"},
		"ASVK revoked":         {v, v.crl(t, nil, v.Asvk), "attest.revoked"},
		"ASVK revoked, VCEK":   {c, c.crl(t, nil, c.Asvk), ""},
		"ASK revoked, VLEK":    {v, v.crl(t, nil, v.Ask), ""},
		"serial of chips":      {c, c.crl(t, nil, c.Vcek), ""},
		"nobody":               {c, c.crl(t, nil), ""},
		"expired":              {c, c.crl(t, func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = c.made.Add(-year), c.made }), "attest.collateral_expired"},
		"expired and revoked":  {c, c.crl(t, func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = c.made.Add(-year), c.made }, c.Ask), "attest.collateral_expired"},
		"of tomorrow":          {c, c.crl(t, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(24 * time.Hour) }), "attest.collateral_expired"},
		"a clock a bit behind": {c, c.crl(t, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) }), ""},
		"another root's":       {c, other.crl(t, nil), "attest.chain"},
		"critical extension":   {c, c.crl(t, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{critical} }), "attest.parse"},
		"critical in an entry": {c, c.crl(t, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(9), RevocationTime: c.made, ExtraExtensions: []pkix.Extension{critical}}}
		}), "attest.parse"},
		"noise":          {c, []byte("noise"), "attest.parse"},
		"empty":          {c, []byte{}, "attest.parse"},
		"a byte more":    {c, append(c.crl(t, nil), 0), "attest.parse"},
		"a certificate":  {c, c.Ark.Raw, "attest.parse"},
		"signed by none": {c, func() []byte { l := c.crl(t, nil); l[len(l)-1] ^= 1; return l }(), "attest.chain"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := withCRL(tt.chip.evidence(t, binding, nil), tt.list)
			cache := NewVerifier()
			for range 2 {
				roots := tt.chip.roots()
				roots.chains = &cache.chains
				_, err := checkSNP(&steps{}, e, binding, roots, time.Now())
				if got := status.ReasonOf(err); got != tt.reason {
					t.Errorf("got %q (%v), want %q", got, err, tt.reason)
				}
			}
		})
	}
}

// TestCRLOfAnImpostor: the root's name and another key.
func TestCRLOfAnImpostor(t *testing.T) {
	c := milan.make(t, false)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	impostor := *c.Ark
	impostor.PublicKey, impostor.PublicKeyAlgorithm = key.Public(), x509.ECDSA
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: c.made, NextUpdate: c.made.Add(time.Hour * 9)}, &impostor, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkSNP(&steps{}, withCRL(c.evidence(t, binding, nil), der), binding, c.roots(), time.Now()); status.ReasonOf(err) != "attest.chain" {
		t.Errorf("got %v, want attest.chain", err)
	}
}

// certified makes a leaf by the chip's CA; change may make it another's.
func (c *chip) certified(t *testing.T, change func(leaf *x509.Certificate, pub *any)) []byte {
	t.Helper()
	parent, signer, key := c.Ask, c.Keys.Ask, any(c.Keys.Vcek.Public())
	name := c.Vcek.Subject
	if c.vlek {
		parent, signer, key, name = c.Asvk, c.Keys.Asvk, c.Keys.Vlek.Public(), c.Vlek.Subject
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(5), Subject: name, NotBefore: c.made, NotAfter: c.made.Add(24 * time.Hour),
		SignatureAlgorithm: x509.SHA384WithRSAPSS, ExtraExtensions: c.extensions(c.vlek),
	}
	change(leaf, &key)
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestLeaf(t *testing.T) {
	without := func(id asn1.ObjectIdentifier) func(*x509.Certificate, *any) {
		return func(l *x509.Certificate, _ *any) {
			l.ExtraExtensions = slices.DeleteFunc(l.ExtraExtensions, func(x pkix.Extension) bool { return x.Id.Equal(id) })
		}
	}
	with := func(id asn1.ObjectIdentifier, value []byte) func(*x509.Certificate, *any) {
		return func(l *x509.Certificate, pub *any) {
			without(id)(l, pub)
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: id, Value: value})
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		chip   chip
		vlek   bool
		change func(*x509.Certificate, *any)
		reason string
	}{
		"honest":                    {milan, false, func(*x509.Certificate, *any) {}, ""},
		"honest VLEK":               {milan, true, func(*x509.Certificate, *any) {}, ""},
		"chip id as octets":         {milan, false, with(kds.OidHwid, octets(seq(64))), ""},
		"Turin's chip id as octets": {turin, false, with(kds.OidHwid, octets(seq(8))), ""},
		"an unknown extension":      {milan, false, with(asn1.ObjectIdentifier{1, 2, 3}, []byte{5, 0}), ""},
		"name of a VLEK":            {milan, false, func(l *x509.Certificate, _ *any) { l.Subject.CommonName = "SEV-VLEK" }, "attest.chain"},
		"name of a VCEK":            {milan, true, func(l *x509.Certificate, _ *any) { l.Subject.CommonName = "SEV-VCEK" }, "attest.chain"},
		"a CA":                      {milan, false, func(l *x509.Certificate, _ *any) { l.IsCA, l.BasicConstraintsValid = true, true }, "attest.chain"},
		"a key on P-256":            {milan, false, func(_ *x509.Certificate, pub *any) { *pub = other.Public() }, "attest.chain"},
		"another key":               {milan, false, func(_ *x509.Certificate, pub *any) { *pub = milan.make(t, false).Keys.Vlek.Public() }, "attest.signature"},
		"another algorithm":         {milan, false, func(l *x509.Certificate, _ *any) { l.SignatureAlgorithm = x509.SHA384WithRSA }, "attest.chain"},
		"expired":                   {milan, false, func(l *x509.Certificate, _ *any) { l.NotBefore, l.NotAfter = l.NotBefore.Add(-time.Hour), l.NotBefore }, "attest.chain"},
		"not valid yet":             {milan, false, func(l *x509.Certificate, _ *any) { l.NotBefore = time.Now().Add(time.Hour) }, "attest.chain"},
		"no product":                {milan, false, without(kds.OidProductName1), "attest.chain"},
		"no microcode":              {milan, false, without(kds.OidUcodeSpl), "attest.chain"},
		"no reserved version":       {milan, false, without(kds.OidSpl5), "attest.chain"},
		"a version of 256":          {milan, false, with(kds.OidBlSpl, []byte{2, 2, 1, 0}), "attest.chain"},
		"a negative version":        {milan, false, with(kds.OidBlSpl, []byte{2, 1, 0xff}), "attest.chain"},
		"more than a version":       {milan, false, with(kds.OidBlSpl, []byte{2, 1, 3, 0}), "attest.chain"},
		"no chip id":                {milan, false, without(kds.OidHwid), "attest.chain"},
		"a short chip id":           {milan, false, with(kds.OidHwid, seq(8)), "attest.chain"},
		"chip id and provider":      {milan, false, with(kds.OidCspID, []byte{22, 1, 'x'}), "attest.chain"},
		"no provider":               {milan, true, without(kds.OidCspID), "attest.chain"},
		"provider and chip id":      {milan, true, with(kds.OidHwid, seq(64)), "attest.chain"},
		"an empty provider":         {milan, true, with(kds.OidCspID, []byte{22, 0}), "attest.chain"},
		"a terminal's provider":     {milan, true, with(kds.OidCspID, []byte{22, 1, 0x1b}), "attest.chain"},
		"Turin without FMC":         {turin, false, without(oidFMC), "attest.chain"},
		"Turin, a long chip id":     {turin, false, with(kds.OidHwid, seq(64)), "attest.chain"},
		"other TCB":                 {milan, false, with(kds.OidUcodeSpl, []byte{2, 1, 1}), "attest.tcb_status"},
		"Turin, other FMC":          {turin, false, with(oidFMC, []byte{2, 1, 9}), "attest.tcb_status"},
		"other chip":                {milan, false, with(kds.OidHwid, make([]byte, 64)), "attest.tcb_status"},
		"Turin, other chip":         {turin, false, with(kds.OidHwid, make([]byte, 8)), "attest.tcb_status"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := tt.chip.make(t, tt.vlek)
			e := c.evidence(t, binding, version(5))
			e.Certificates[0] = c.certified(t, tt.change)
			_, err := checkSNP(&steps{}, e, binding, c.roots(), time.Now())
			if got := status.ReasonOf(err); got != tt.reason {
				t.Errorf("got %q (%v), want %q", got, err, tt.reason)
			}
		})
	}
}

func seq(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

func octets(b []byte) []byte { return append([]byte{4, byte(len(b))}, b...) }

// TestChainsDoNotMix puts parts of honest chains together.
func TestChainsDoNotMix(t *testing.T) {
	m, v, g := milan.make(t, false), milan.make(t, true), genoa.make(t, false)
	roots := trustOf(m, g)
	e, ve, ge := m.evidence(t, binding, nil), v.evidence(t, binding, nil), g.evidence(t, binding, nil)
	old := m.evidence(t, binding, version(2))
	for name, x := range map[string]struct {
		report attest.Evidence
		chain  [][]byte
	}{
		"Genoa's chain":            {e, ge.Certificates},
		"Milan's chain on Genoa":   {ge, e.Certificates},
		"VLEK for a VCEK's report": {e, ve.Certificates},
		"VCEK for a VLEK's report": {ve, e.Certificates},
		"VCEK under the ASVK":      {e, [][]byte{e.Certificates[0], v.Asvk.Raw}},
		"VLEK under the ASK":       {ve, [][]byte{ve.Certificates[0], m.Ask.Raw}},
		"no certificate":           {e, nil},
		"root first":               {e, [][]byte{m.Ark.Raw, m.Ask.Raw, m.Vcek.Raw}},
		"signing certificate only": {e, [][]byte{m.Ask.Raw}},
		"leaf twice":               {e, [][]byte{m.Vcek.Raw, m.Vcek.Raw, m.Ark.Raw}},
		"root as signer":           {e, [][]byte{m.Vcek.Raw, m.Ark.Raw, m.Ark.Raw}},
		"a byte more":              {e, [][]byte{append(slices.Clone(m.Vcek.Raw), 0)}},
		"root of noise":            {e, [][]byte{m.Vcek.Raw, m.Ask.Raw, []byte("noise")}},
		"signer of noise":          {e, [][]byte{m.Vcek.Raw, []byte("noise")}},
	} {
		x.report.Certificates = x.chain
		if _, err := checkSNP(&steps{}, x.report, binding, roots, time.Now()); status.ReasonOf(err) != "attest.chain" {
			t.Errorf("%s: got %v, want attest.chain", name, err)
		}
	}
	// Reports of version 2 do not say which processor made them.
	old.Certificates = ge.Certificates
	if _, err := checkSNP(&steps{}, old, binding, roots, time.Now()); status.ReasonOf(err) != "attest.tcb_status" {
		t.Errorf("Genoa's chain, version 2: got %v, want attest.tcb_status", err)
	}
	if _, err := checkSNP(&steps{}, ve, binding, TrustSNP("Milan", v.Ark, v.Ask, nil), time.Now()); err != nil {
		t.Errorf("a carried ASVK under the known root: %v", err)
	}
	ve.Certificates = ve.Certificates[:1]
	if _, err := checkSNP(&steps{}, ve, binding, TrustSNP("Milan", v.Ark, v.Ask, nil), time.Now()); status.ReasonOf(err) != "attest.chain" {
		t.Errorf("an ASVK that nobody knows: %v", err)
	}
}

func TestReportLine(t *testing.T) {
	for want, models := range map[string][][2]byte{
		"Milan": {{0x19, 0}, {0x19, 0x0f}}, "Genoa": {{0x19, 0x10}, {0x19, 0x1f}, {0x19, 0xa0}, {0x19, 0xaf}}, "Turin": {{0x1a, 0}, {0x1a, 0x11}},
		"unknown (family 0x19, model 0x20)": {{0x19, 0x20}}, "unknown (family 0x1a, model 0x50)": {{0x1a, 0x50}}, "unknown (family 0x17, model 0x1)": {{0x17, 1}},
	} {
		for _, m := range models {
			c := milan.make(t, false)
			raw := c.evidence(t, binding, func(r []byte) { r[atProcessor], r[atProcessor+1] = m[0], m[1] }).Report
			report, err := abi.ReportToProto(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := reportLine(report, &endorsementKey{}); got != want {
				t.Errorf("%x: got %s, want %s", m, got, want)
			}
		}
	}
}
