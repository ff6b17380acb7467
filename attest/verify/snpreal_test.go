package verify

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
	"apocryph/proto/status"
)

// TestRealReportHasDebug holds a real Milan machine's report against its own
// report data: everything is right but its guest policy, which allows debugging.
func TestRealReportHasDebug(t *testing.T) {
	ask, ark := trust.DefaultRootCerts["Milan"].ProductCerts.Ask.Raw, trust.DefaultRootCerts["Milan"].ProductCerts.Ark.Raw
	for _, chain := range [][][]byte{{testdata.VcekBytes}, {testdata.VcekBytes, ask}, {testdata.VcekBytes, ask, ark}} {
		e := attest.Evidence{Type: attest.SEVSNP, Report: testdata.AttestationBytes, Certificates: chain}
		s := &steps{anchor: attest.AnchorHardware}
		_, err := checkSNP(s, e, [64]byte(testdata.AttestationBytes[0x50:0x90]), Roots{}, time.Now())
		last := s.checks[len(s.checks)-1]
		if status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != "attest.debug_tee" || last.Code != "ATT-050" {
			t.Errorf("got %v, want ATT-050", err)
		}
		if want := sha256.Sum256(ark); s.checks[0].Got != "root sha256:"+short(want[:]) {
			t.Errorf("got %s, want AMD's Milan root", s.checks[0].Got)
		}
	}
}

func TestRealReportFlipped(t *testing.T) {
	binding := [64]byte(testdata.AttestationBytes[0x50:0x90])
	v := NewVerifier()
	for bit := 0; bit < 8*len(testdata.AttestationBytes); bit += 7 {
		raw := bytes.Clone(testdata.AttestationBytes)
		raw[bit/8] ^= 1 << (bit % 8)
		e := attest.Evidence{Type: attest.SEVSNP, Report: raw, Certificates: [][]byte{testdata.VcekBytes}}
		_, err := checkSNP(&steps{}, e, binding, Roots{chains: &v.chains}, time.Now())
		if reason := status.ReasonOf(err); reason == "attest.debug_tee" || reason == "" {
			t.Errorf("bit %d: got %v, want a refusal before the guest policy is read", bit, err)
		}
	}
	for bit := 0; bit < 8*len(testdata.VcekBytes); bit += 11 {
		der := bytes.Clone(testdata.VcekBytes)
		der[bit/8] ^= 1 << (bit % 8)
		e := attest.Evidence{Type: attest.SEVSNP, Report: testdata.AttestationBytes, Certificates: [][]byte{der}}
		_, err := checkSNP(&steps{}, e, binding, Roots{chains: &v.chains}, time.Now())
		if reason := status.ReasonOf(err); reason != "attest.chain" {
			t.Errorf("certificate's bit %d: got %v, want attest.chain", bit, err)
		}
	}
}

// TestRealReportWithOtherParts puts genuine parts of AMD's where others belong.
func TestRealReportWithOtherParts(t *testing.T) {
	binding := [64]byte(testdata.AttestationBytes[0x50:0x90])
	genoa, own := amdRoots()["Genoa"], amdRoots()["Milan"]
	foreign := milan.make(t, false)
	for name, e := range map[string]attest.Evidence{
		"Genoa's signing certificate": {Certificates: [][]byte{testdata.VcekBytes, genoa.Ask.Raw}},
		"Genoa's root":                {Certificates: [][]byte{testdata.VcekBytes, own.Ask.Raw, genoa.Ark.Raw}},
		"VLEKs' signing certificate":  {Certificates: [][]byte{testdata.VcekBytes, own.Asvk.Raw}},
		"the root as signer":          {Certificates: [][]byte{testdata.VcekBytes, own.Ark.Raw}},
		"the root alone":              {Certificates: [][]byte{own.Ark.Raw}},
		"a signing certificate alone": {Certificates: [][]byte{own.Ask.Raw}},
		"four certificates":           {Certificates: [][]byte{testdata.VcekBytes, own.Ask.Raw, own.Ark.Raw, own.Ark.Raw}},
		"a forged signer":             {Certificates: [][]byte{testdata.VcekBytes, foreign.Ask.Raw}},
		"a forged chip":               {Certificates: [][]byte{foreign.Vcek.Raw}},
		"a forged chain":              {Certificates: foreign.chain()},
		"a forged list":               withCRL(attest.Evidence{Certificates: [][]byte{testdata.VcekBytes}}, foreign.crl(t, nil)),
	} {
		e.Type, e.Report = attest.SEVSNP, testdata.AttestationBytes
		_, err := checkSNP(&steps{}, e, binding, Roots{}, time.Now())
		if status.ReasonOf(err) != "attest.chain" {
			t.Errorf("%s: got %v, want attest.chain", name, err)
		}
	}
}

// TestAMDRoots: every line has all three certificates, each certified by the
// root, and the library's files are what they are named for.
func TestAMDRoots(t *testing.T) {
	for line, want := range map[string]string{
		"Milan": "69d063b45344d26a", "Genoa": "4c6598d19c18719c", "Turin": "1f084161a44bb6d9",
	} {
		c := amdRoots()[line]
		if c == nil || c.Ark == nil || c.Ask == nil || c.Asvk == nil {
			t.Fatalf("%s: got %+v", line, c)
		}
		if print := sha256.Sum256(c.Ark.Raw); short(print[:8]) != want {
			t.Errorf("%s: got root %x, want %s", line, print, want)
		}
		if c.Ask.Subject.CommonName != "SEV-"+line || c.Asvk.Subject.CommonName != "SEV-VLEK-"+line {
			t.Errorf("%s: got %s and %s", line, c.Ask.Subject.CommonName, c.Asvk.Subject.CommonName)
		}
		if err := c.Ask.CheckSignatureFrom(c.Ark); err != nil {
			t.Error(err)
		}
		if err := c.Asvk.CheckSignatureFrom(c.Ark); err != nil {
			t.Error(err)
		}
	}
	if n := len(amdRoots()); n != 3 {
		t.Errorf("got %d lines", n)
	}
}
