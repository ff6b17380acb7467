package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"
	libverify "github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
	"apocryph/proto/status"
)

var binding = attest.ReportData([]byte("claims"))

func both(changes ...func([]byte)) func([]byte) {
	return func(r []byte) {
		for _, c := range changes {
			c(r)
		}
	}
}

func put32(at int, v uint32) func([]byte) {
	return func(r []byte) { binary.LittleEndian.PutUint32(r[at:], v) }
}

func put64(at int, v uint64) func([]byte) {
	return func(r []byte) { binary.LittleEndian.PutUint64(r[at:], v) }
}

func fill(at, size int, b byte) func([]byte) {
	return func(r []byte) { copy(r[at:at+size], bytes.Repeat([]byte{b}, size)) }
}

func policyBit(bit int) func([]byte) {
	return func(r []byte) { r[atPolicy+bit/8] |= 1 << (bit % 8) }
}

// TestSNPAccepted goes through every kind of key, line and version.
func TestSNPAccepted(t *testing.T) {
	bergamo := genoa
	bergamo.model = 0xa0
	tests := map[string]struct {
		chip   chip
		vlek   bool
		change func([]byte)
	}{
		"Milan":          {milan, false, nil},
		"Milan 2":        {milan, false, version(2)},
		"Milan 4":        {milan, false, version(4)},
		"Milan 5":        {milan, false, version(5)},
		"Milan VLEK":     {milan, true, nil},
		"Milan VLEK 2":   {milan, true, version(2)},
		"Milan VLEK 5":   {milan, true, version(5)},
		"Genoa":          {genoa, false, nil},
		"Genoa 2":        {genoa, false, version(2)},
		"Genoa VLEK":     {genoa, true, nil},
		"Bergamo":        {bergamo, false, nil},
		"Turin":          {turin, false, version(5)},
		"Turin 3":        {turin, false, nil},
		"Turin VLEK":     {turin, true, version(5)},
		"masked":         {milan, false, fill(atChipID, 64, 0)},
		"masked Turin":   {turin, false, fill(atChipID, 64, 0)},
		"smt":            {milan, false, policyBit(16)},
		"migration":      {milan, false, policyBit(18)},
		"cxl":            {milan, false, policyBit(21)},
		"vmpl 3":         {milan, false, put32(atVMPL, 3)},
		"unknown bits":   {milan, false, put64(atPlatform, 1<<40|1<<6)},
		"launched later": {milan, false, put64(atLaunchTCB, milan.tcb+1<<56)},
		"reported below committed": {milan, false, both(
			put64(atCurrentTCB, milan.tcb+1<<56), put64(atCommittedTCB, milan.tcb+1<<56))},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := tt.chip.make(t, tt.vlek)
			e := c.evidence(t, binding, tt.change)
			for n := 1; n <= len(e.Certificates); n++ {
				short := e
				short.Certificates = e.Certificates[:n]
				for _, crl := range []bool{false, true} {
					if crl {
						short = withCRL(short, c.crl(t, nil))
					}
					facts, err := checkSNP(&steps{}, short, binding, c.roots(), time.Now())
					if err != nil {
						t.Fatalf("%d certificates, list %v: %v", n, crl, err)
					}
					if facts.Product != c.line || facts.RootFingerprint != sha256.Sum256(c.Ark.Raw) || facts.CRLExpires.IsZero() == crl {
						t.Errorf("got %+v", facts)
					}
					if !c.vlek && !bytes.Equal(facts.ChipID, c.id[:]) {
						t.Errorf("got chip %x, want %x", facts.ChipID, c.id)
					}
				}
			}
		})
	}
}

func TestSNPFacts(t *testing.T) {
	c := milan.make(t, true)
	change := both(
		version(5), put32(atSVN, 7), put64(atPolicy, 0x3ff<<16&^(1<<19)|1<<8|51), fill(atFamily, 16, 1), fill(atImage, 16, 2), put32(atVMPL, 2),
		put64(atPlatform, 0x1bf), put32(atSigner, 1<<2|1), fill(atMeasurement, 48, 3), fill(atHostData, 32, 4), fill(atIDKey, 48, 5), fill(atAuthorKey, 48, 6),
		fill(atReportID, 32, 7), fill(atReportIDMA, 32, 0xff), fill(atChipID, 64, 0),
		func(r []byte) { copy(r[atCurrent:], []byte{3, 2, 1}); copy(r[atCommitted:], []byte{3, 2, 1}) },
		put64(atLaunchMit, 9), put64(atCurrentMit, 11), put64(atLaunchTCB, 1),
		put64(atCurrentTCB, milan.tcb+1<<56), put64(atCommittedTCB, milan.tcb+1<<56),
	)
	got, err := checkSNP(&steps{}, withCRL(c.evidence(t, binding, change), c.crl(t, nil)), binding, c.roots(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	of := func(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }
	want := &attest.SNPFacts{
		Product: "Milan", ReportVersion: 5, Measurement: of(3, 48), HostData: of(4, 32), ChipIDMasked: true,
		Migratable: true, SMT: true, VMPL: 2, GuestSVN: 7,
		ReportedTCB: c.tcb, CommittedTCB: c.tcb + 1<<56, CurrentTCB: c.tcb + 1<<56, LaunchTCB: 1,
		Firmware: attest.SNPFirmware{Major: 1, Minor: 2, Build: 3},
		GuestPolicy: attest.SNPGuestPolicy{
			Raw: 0x3ff<<16&^(1<<19) | 1<<8 | 51, ABIMajor: 1, ABIMinor: 51, SingleSocket: true, CXLAllowed: true,
			AES256XTS: true, RAPLOff: true, CiphertextHiding: true, PageSwapOff: true,
		},
		Platform: attest.SNPPlatform{
			Raw: 0x1bf, SMT: true, TSME: true, ECC: true, RAPLOff: true, CiphertextHiding: true, AliasCheck: true, TIO: true,
		},
		IDKeyDigest: of(5, 48), AuthorKeyDigest: of(6, 48), FamilyID: of(1, 16), ImageID: of(2, 16),
		ReportID: of(7, 32), ReportIDMA: of(0xff, 32), LaunchMitigations: 9, CurrentMitigations: 11,
		CSP: "a cloud", CRLExpires: c.made.Add(365 * 24 * time.Hour).UTC(), RootFingerprint: sha256.Sum256(c.Ark.Raw),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// Each platform and policy bit sets one field only.
	for bit, want := range map[uint]attest.SNPPlatform{
		0: {SMT: true}, 1: {TSME: true}, 2: {ECC: true}, 3: {RAPLOff: true}, 4: {CiphertextHiding: true}, 5: {AliasCheck: true}, 6: {}, 7: {TIO: true},
	} {
		want.Raw = 1 << bit
		if got := platform(1 << bit); got != want {
			t.Errorf("bit %d: got %+v", bit, got)
		}
	}
	for bit, want := range map[int]attest.SNPGuestPolicy{
		16: {}, 18: {}, 20: {SingleSocket: true}, 21: {CXLAllowed: true}, 22: {AES256XTS: true}, 23: {RAPLOff: true},
		24: {CiphertextHiding: true}, 25: {PageSwapOff: true},
	} {
		own := milan.make(t, false)
		got, err := checkSNP(&steps{}, own.evidence(t, binding, policyBit(bit)), binding, own.roots(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		want.Raw = 1<<17 | 1<<bit
		if got.GuestPolicy != want || got.SMT != (bit == 16) || got.Migratable != (bit == 18) || got.IDKeyDigest != nil || got.AuthorKeyDigest != nil || got.CSP != "" {
			t.Errorf("bit %d: got %+v", bit, got)
		}
	}
}

// TestSNPRefused has everything that is signed and still wrong. Where the
// library's own verification and validation see the same fault they must agree.
func TestSNPRefused(t *testing.T) {
	tests := map[string]struct {
		change func([]byte)
		reason string
		// ours: the library lets it pass.
		ours bool
	}{
		"debug":                       {policyBit(19), "attest.debug_tee", false},
		"other claims":                {func(r []byte) { r[atReportData] ^= 1 }, "attest.binding", false},
		"last byte of the binding":    {func(r []byte) { r[atReportData+63] ^= 1 }, "attest.binding", false},
		"no report data":              {fill(atReportData, 64, 0), "attest.binding_missing", false},
		"the hypervisor's report":     {put32(atVMPL, 0xffffffff), "attest.vmpl", true},
		"vmpl 4":                      {put32(atVMPL, 4), "attest.vmpl", true},
		"TCB above the certificate's": {both(put64(atReportedTCB, milan.tcb+1<<56), put64(atCurrentTCB, milan.tcb+1<<56), put64(atCommittedTCB, milan.tcb+1<<56)), "attest.tcb_status", false},
		"TCB below the certificate's": {put64(atReportedTCB, milan.tcb-1), "attest.tcb_status", false},
		"reserved part of the TCB":    {put64(atReportedTCB, milan.tcb|1<<16), "attest.tcb_status", false},
		"provisional TCB":             {put64(atCurrentTCB, milan.tcb+1<<56), "attest.tcb_status", false},
		"committed above current":     {put64(atCommittedTCB, milan.tcb+1<<56), "attest.tcb_status", false},
		"reported above committed":    {both(put64(atCurrentTCB, milan.tcb-1), put64(atCommittedTCB, milan.tcb-1)), "attest.tcb_status", false},
		"one part below, one above":   {both(put64(atCurrentTCB, milan.tcb+1<<56-1), put64(atCommittedTCB, milan.tcb+1<<56-1)), "attest.tcb_status", false},
		"provisional build":           {func(r []byte) { r[atCurrent] = 1 }, "attest.tcb_status", false},
		"provisional minor":           {func(r []byte) { r[atCurrent+1] = 1 }, "attest.tcb_status", false},
		"provisional major":           {func(r []byte) { r[atCurrent+2] = 1 }, "attest.tcb_status", false},
		"another chip":                {func(r []byte) { r[atChipID+9] ^= 1 }, "attest.tcb_status", false},
		"version 1":                   {version(1), "attest.parse", false},
		"version 6":                   {version(6), "attest.parse", false},
		"version 2 with processor":    {put32(atVersion, 2), "attest.parse", false},
		"unknown policy bit":          {policyBit(26), "attest.parse", false},
		"policy without its one":      {put64(atPolicy, 0), "attest.parse", false},
		"mitigations in version 3":    {put64(atLaunchMit, 1), "attest.parse", true},
		"reserved bytes":              {func(r []byte) { r[0x29f] = 1 }, "attest.parse", false},
		"unknown algorithm":           {put32(atAlgorithm, 2), "attest.signature", false},
		"signed by none":              {put32(atSigner, 7<<2), "attest.chain", false},
		"signed by a reserved key":    {put32(atSigner, 2<<2), "attest.parse", false},
		"signed by a VLEK":            {put32(atSigner, 1<<2), "attest.chain", false},
		"Genoa's processor":           {func(r []byte) { r[atProcessor+1] = 0x11 }, "attest.chain", false},
		"Turin's processor":           {func(r []byte) { r[atProcessor], r[atProcessor+1] = 0x1a, 2 }, "attest.chain", false},
		"unknown processor":           {func(r []byte) { r[atProcessor+1] = 0x50 }, "attest.chain", false},
		"no processor":                {fill(atProcessor, 3, 0), "attest.chain", true},
	}
	c := milan.make(t, false)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := c.evidence(t, binding, tt.change)
			facts, err := checkSNP(&steps{}, e, binding, c.roots(), time.Now())
			if got := status.ReasonOf(err); got != tt.reason || status.CodeOf(err) != status.Untrusted || facts != nil {
				t.Errorf("got %q (%v), want %q", got, err, tt.reason)
			}
			if err := library(e, c, binding); (err == nil) != tt.ours {
				t.Errorf("the library says %v", err)
			}
		})
	}
	if err := library(c.evidence(t, binding, nil), c, binding); err != nil {
		t.Errorf("the library refuses the honest report: %v", err)
	}
}

// library is the opinion of go-sev-guest.
func library(e attest.Evidence, c *chip, binding [64]byte) error {
	report, err := abi.ReportToProto(e.Report)
	if err != nil {
		return err
	}
	root := trust.AMDRootCertsProduct(c.line)
	root.ProductCerts = &trust.ProductCerts{Ark: c.Ark, Ask: c.Ask, Asvk: c.Asvk}
	chain := &spb.CertificateChain{VcekCert: c.Vcek.Raw, VlekCert: c.Vlek.Raw}
	if c.vlek {
		chain.VcekCert = nil
	} else {
		chain.VlekCert = nil
	}
	att := &spb.Attestation{Report: report, CertificateChain: chain}
	return errors.Join(
		libverify.SnpAttestation(att, &libverify.Options{DisableCertFetching: true, Now: time.Now(), TrustedRoots: map[string][]*trust.AMDRootCerts{c.line: {root}}}),
		validate.SnpAttestation(att, &validate.Options{ReportData: binding[:], GuestPolicy: abi.SnpPolicy{SMT: true, MigrateMA: true, CXLAllowed: true}}),
	)
}

// TestSNPBindingOfZeros: what was never set is not met by what was never set.
func TestSNPBindingOfZeros(t *testing.T) {
	c := milan.make(t, false)
	for _, in := range [][64]byte{{}, binding} {
		if facts, err := checkSNP(&steps{}, c.evidence(t, in, nil), [64]byte{}, c.roots(), time.Now()); status.CodeOf(err) != status.Untrusted || facts != nil {
			t.Errorf("got %v, want untrusted", err)
		}
	}
}

// TestSNPCompany is what may not come along with a report.
func TestSNPCompany(t *testing.T) {
	c := milan.make(t, false)
	list := attest.Endorsement{Kind: attest.SNPCRL, Body: c.crl(t, nil)}
	chained := list
	chained.Chain = [][]byte{c.Ark.Raw}
	for name, change := range map[string]func(*attest.Evidence){
		"a boot log": func(e *attest.Evidence) { e.BootLog = []byte{1} },
		"Intel's endorsement": func(e *attest.Evidence) {
			e.Endorsements = []attest.Endorsement{{Kind: attest.TDXPCKCRL, Body: list.Body}}
		},
		"both": func(e *attest.Evidence) {
			e.Endorsements = []attest.Endorsement{list, {Kind: attest.TDXRootCRL, Body: list.Body}}
		},
		"a list with its chain": func(e *attest.Evidence) { e.Endorsements = []attest.Endorsement{chained} },
	} {
		e := c.evidence(t, binding, nil)
		change(&e)
		if _, err := checkSNP(&steps{}, e, binding, c.roots(), time.Now()); status.ReasonOf(err) != "attest.parse" {
			t.Errorf("%s: got %v, want attest.parse", name, err)
		}
	}
}
