package verify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
)

// quoteChange and collateralChange are what an adversary, or Intel, may do
// differently.
type (
	quoteChange      = func(*attesttest.TDXQuote)
	collateralChange = func(*attesttest.TDXCollateral)
)

// TestTDXQuoteRefused: every key of the machine is the adversary's, as if he had
// broken into its quoting enclave, or only some are.
func TestTDXQuoteRefused(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	other := attesttest.NewTDX(t, tdxNow, nil)
	set := func(at int, b ...byte) quoteChange {
		return func(q *attesttest.TDXQuote) { copy(q.Body[at:], b) }
	}
	qe := func(at int, b ...byte) quoteChange {
		return func(q *attesttest.TDXQuote) { copy(q.QEReport[at:], b) }
	}
	flip := func(at int) quoteChange { // a digest may be any byte already
		return func(q *attesttest.TDXQuote) { q.Body[at] ^= 1 }
	}
	chain := func(certs ...*x509.Certificate) quoteChange {
		return func(q *attesttest.TDXQuote) { q.Chain = attesttest.TDXChain(certs...) }
	}
	renamed := m.Certify(t, "Intel SGX TCB Signing", &m.PCKKey.PublicKey, false, m.CA, m.CAKey, m.Platform.Extension(t))
	bare := m.Certify(t, "Intel SGX PCK Certificate", &m.PCKKey.PublicKey, false, m.CA, m.CAKey)
	larger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	onP384 := m.Certify(t, "Intel SGX PCK Certificate", &larger.PublicKey, false, m.CA, m.CAKey, m.Platform.Extension(t))
	otherCA := m.Certify(t, "Intel SGX PCK Other CA", &m.CAKey.PublicKey, true, m.Root, m.RootKey)
	ofOtherCA := m.Certify(t, "Intel SGX PCK Certificate", &m.PCKKey.PublicKey, false, otherCA, m.CAKey, m.Platform.Extension(t))
	direct := m.Certify(t, "Intel SGX PCK Certificate", &m.PCKKey.PublicKey, false, m.Root, m.RootKey, m.Platform.Extension(t))
	mayIssue := m.Certify(t, "Intel SGX PCK Certificate", &m.PCKKey.PublicKey, true, m.CA, m.CAKey, m.Platform.Extension(t))
	noCA := m.Certify(t, "Intel SGX PCK Platform CA", &m.CAKey.PublicKey, false, m.Root, m.RootKey)
	for _, c := range []struct {
		name   string
		change quoteChange
		code   string
	}{
		{"report data of zeros", set(attesttest.TDXAtReportData, make([]byte, 64)...), "ATT-042"},
		{"report data for other claims", flip(attesttest.TDXAtReportData), "ATT-041"},
		{"report data that ends otherwise", flip(attesttest.TDXAtReportData + 63), "ATT-041"},
		{"debugging", set(attesttest.TDXAtAttributes, 0x01), "ATT-050"},
		{"profiling", set(attesttest.TDXAtAttributes, 0x20), "ATT-050"},
		{"the last untrusted bit", set(attesttest.TDXAtAttributes, 0x80), "ATT-050"},
		{"migratable", set(attesttest.TDXAtAttributes+3, 0x30), "ATT-051"},
		{"both", set(attesttest.TDXAtAttributes, 0x01, 0, 0, 0x20), "ATT-050"},

		{"another root and everything below", func(q *attesttest.TDXQuote) {
			q.Chain, q.PCKKey = attesttest.TDXChain(other.PCK, other.CA, other.Root), other.PCKKey
		}, "ATT-031"},
		{"another chain, the trusted root", func(q *attesttest.TDXQuote) {
			q.Chain, q.PCKKey = attesttest.TDXChain(other.PCK, other.CA, m.Root), other.PCKKey
		}, "ATT-030"},
		{"another platform's certificate", chain(other.PCK, m.CA, m.Root), "ATT-030"},
		{"another issuer", chain(m.PCK, other.CA, m.Root), "ATT-030"},
		{"no root", chain(m.PCK, m.CA), "ATT-030"},
		{"no certificate", chain(), "ATT-030"},
		{"a certificate more", chain(m.PCK, m.CA, m.Root, m.Root), "ATT-030"},
		{"the other way round", chain(m.Root, m.CA, m.PCK), "ATT-031"},
		{"no issuer", chain(m.PCK, m.PCK, m.Root), "ATT-030"},
		{"the root certifies the platform", chain(direct, m.CA, m.Root), "ATT-030"},
		{"a key on another curve", chain(onP384, m.CA, m.Root), "ATT-030"},
		{"a platform that may issue", chain(mayIssue, m.CA, m.Root), "ATT-030"},
		{"an issuer that may not issue", chain(m.PCK, noCA, m.Root), "ATT-030"},
		{"an issuer of other certificates", chain(ofOtherCA, otherCA, m.Root), "ATT-030"},
		{"a certificate for something else", chain(renamed, m.CA, m.Root), "ATT-030"},
		{"a certificate of no platform", chain(bare, m.CA, m.Root), "ATT-030"},
		{"text before the chain", func(q *attesttest.TDXQuote) { q.Chain = append([]byte("hello\n"), q.Chain...) }, "ATT-030"},
		{"text in the chain", func(q *attesttest.TDXQuote) {
			q.Chain = bytes.Replace(q.Chain, []byte("-----END CERTIFICATE-----\n"), []byte("-----END CERTIFICATE-----\nhello\n"), 1)
		}, "ATT-030"},
		{"a header in the chain", func(q *attesttest.TDXQuote) {
			q.Chain = bytes.Replace(q.Chain, []byte("CERTIFICATE-----\n"), []byte("CERTIFICATE-----\na: b\n\n"), 1)
		}, "ATT-030"},
		{"noise for a certificate", func(q *attesttest.TDXQuote) {
			q.Chain = slices.Concat([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), attesttest.TDXChain(m.CA, m.Root))
		}, "ATT-030"},

		{"the platform did not sign", func(q *attesttest.TDXQuote) { q.PCKKey = other.PCKKey }, "ATT-040"},
		{"an enclave that names another key", func(q *attesttest.TDXQuote) { q.Foreign = true }, "ATT-040"},
		{"an enclave that names more than the key", func(q *attesttest.TDXQuote) { q.QEReport[attesttest.QEAtReportData+32] = 1 }, "ATT-040"},
		{"a foreign quoting enclave", qe(attesttest.QEAtMRSigner, 0xee), "ATT-040"},
		{"another enclave of Intel's", qe(attesttest.QEAtISVProdID, 1), "ATT-040"},
		{"a quoting enclave in debug mode", qe(attesttest.QEAtAttributes, 0x17), "ATT-040"},
		{"a quoting enclave with other attributes", qe(attesttest.QEAtAttributes, 0x31), "ATT-040"},
		{"a quoting enclave that dumps more state", qe(attesttest.QEAtMiscSelect, 1), "ATT-040"},
		{"a quoting enclave of no known version", qe(attesttest.QEAtISVSVN, 3), "ATT-061"},
		{"a foreign TDX module", set(attesttest.TDXAtMRSignerSeam, 1), "ATT-040"},
		{"a TDX module in debug mode", set(attesttest.TDXAtSeamAttributes, 1), "ATT-040"},
		{"firmware of no known level", set(attesttest.TDXAtTCBSVN, 2), "ATT-061"},
		{"a loader of no known level", set(attesttest.TDXAtTCBSVN+2, 3), "ATT-061"},
		{"a module of no known line", set(attesttest.TDXAtTCBSVN, 9, 9, 4), "ATT-061"},
		{"a module of no known version", set(attesttest.TDXAtTCBSVN, 5, 1, 4), "ATT-061"},
		{"a present module of no known version", func(q *attesttest.TDXQuote) {
			q.V5()
			q.Body[attesttest.TDXAtTCBSVN2] = 5
		}, "ATT-061"},
		{"a body of another size", func(q *attesttest.TDXQuote) { q.V5(); q.Body = q.Body[:640] }, "ATT-011"},
		{"a larger body in version 4", func(q *attesttest.TDXQuote) { q.V5(); q.Version = 4 }, "ATT-011"},
		{"version 3", func(q *attesttest.TDXQuote) { q.Version = 3 }, "ATT-011"},
		{"version 6", func(q *attesttest.TDXQuote) { q.Version = 6 }, "ATT-011"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tdxRound(t, m)
			x.evidence.Report = m.Quote(t, attest.ReportData(x.claims), c.change)
			x.refusedTDX(t, c.code)
		})
	}
}

// TestTDXCollateralRefused: Intel says something else of the machine, or
// somebody says it in Intel's name.
func TestTDXCollateralRefused(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	other := attesttest.NewTDX(t, tdxNow, nil)
	past, future := tdxNow.Add(-time.Minute), tdxNow.Add(3*time.Minute)
	renamed := m.Certify(t, "Intel SGX PCK Certificate", &m.TCBKey.PublicKey, false, m.Root, m.RootKey)
	deeper := m.Certify(t, "Intel SGX TCB Signing", &m.TCBKey.PublicKey, false, m.CA, m.CAKey)
	for _, c := range []struct {
		name   string
		change collateralChange
		code   string
	}{
		{"TCB info expired", func(c *attesttest.TDXCollateral) { c.TCB.NextUpdate = past }, "ATT-034"},
		{"TCB info expires now", func(c *attesttest.TDXCollateral) { c.TCB.NextUpdate = tdxNow }, "ATT-034"},
		{"TCB info of the future", func(c *attesttest.TDXCollateral) { c.TCB.IssueDate = future }, "ATT-034"},
		{"TCB info without a start", func(c *attesttest.TDXCollateral) { c.TCB.IssueDate = time.Time{} }, "ATT-034"},
		{"TCB info without an end", func(c *attesttest.TDXCollateral) { c.TCB.NextUpdate = time.Time{} }, "ATT-034"},
		{"QE identity expired", func(c *attesttest.TDXCollateral) { c.QE.NextUpdate = past }, "ATT-034"},
		{"QE identity of the future", func(c *attesttest.TDXCollateral) { c.QE.IssueDate = future }, "ATT-034"},
		{"root's list expired", func(c *attesttest.TDXCollateral) { c.RootCRL.NextUpdate = past }, "ATT-034"},
		{"root's list of the future", func(c *attesttest.TDXCollateral) { c.RootCRL.ThisUpdate = future }, "ATT-034"},
		{"issuer's list expired", func(c *attesttest.TDXCollateral) { c.PCKCRL.NextUpdate = past }, "ATT-034"},
		{"issuer's list of the future", func(c *attesttest.TDXCollateral) { c.PCKCRL.ThisUpdate = future }, "ATT-034"},

		{"platform revoked", func(c *attesttest.TDXCollateral) {
			c.PCKCRL.RevokedCertificateEntries = []x509.RevocationListEntry{attesttest.TDXRevoke(other.PCK, past), attesttest.TDXRevoke(m.PCK, past)}
		}, "ATT-032"},
		{"issuer revoked", func(c *attesttest.TDXCollateral) {
			c.RootCRL.RevokedCertificateEntries = []x509.RevocationListEntry{attesttest.TDXRevoke(m.CA, past)}
		}, "ATT-032"},
		{"root revoked", func(c *attesttest.TDXCollateral) {
			c.RootCRL.RevokedCertificateEntries = []x509.RevocationListEntry{attesttest.TDXRevoke(m.Root, past)}
		}, "ATT-032"},
		{"signer of TCB info revoked", func(c *attesttest.TDXCollateral) {
			c.RootCRL.RevokedCertificateEntries = []x509.RevocationListEntry{attesttest.TDXRevoke(m.TCBSigner, past)}
		}, "ATT-032"},
		{"platform's firmware revoked", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].Status = "Revoked" }, "ATT-032"},
		{"quoting enclave revoked", func(c *attesttest.TDXCollateral) { c.QE.Levels[0].Status = "Revoked" }, "ATT-032"},

		{"another FMSPC", func(c *attesttest.TDXCollateral) { c.TCB.FMSPC = "90c06f000000" }, "ATT-033"},
		{"no FMSPC", func(c *attesttest.TDXCollateral) { c.TCB.FMSPC = "" }, "ATT-033"},
		{"another PCE", func(c *attesttest.TDXCollateral) { c.TCB.PCEID = "0100" }, "ATT-033"},
		{"another kind of TCB", func(c *attesttest.TDXCollateral) { c.TCB.TCBType = 1 }, "ATT-033"},
		{"TCB info for SGX", func(c *attesttest.TDXCollateral) { c.TCB.ID = "SGX" }, "ATT-011"},
		{"TCB info of version 2", func(c *attesttest.TDXCollateral) { c.TCB.Version = 2 }, "ATT-011"},
		{"identity of the SGX quoting enclave", func(c *attesttest.TDXCollateral) { c.QE.ID = "QE" }, "ATT-011"},
		{"identity of version 1", func(c *attesttest.TDXCollateral) { c.QE.Version = 1 }, "ATT-011"},
		{"a number that is not hexadecimal", func(c *attesttest.TDXCollateral) { c.QE.MRSigner = "zz" }, "ATT-011"},

		{"another signer's key", func(c *attesttest.TDXCollateral) { c.SignerKey = other.TCBKey }, "ATT-040"},
		{"another signer", func(c *attesttest.TDXCollateral) { c.Signer, c.SignerKey = other.TCBSigner, other.TCBKey }, "ATT-030"},
		{"signed by the platform", func(c *attesttest.TDXCollateral) { c.Signer, c.SignerKey = m.PCK, m.PCKKey }, "ATT-030"},
		{"signed by the root itself", func(c *attesttest.TDXCollateral) { c.Signer, c.SignerKey = m.Root, m.RootKey }, "ATT-030"},
		{"signed for something else", func(c *attesttest.TDXCollateral) { c.Signer = renamed }, "ATT-030"},
		{"signed under the platforms' issuer", func(c *attesttest.TDXCollateral) { c.Signer = deeper }, "ATT-030"},

		{"an unknown word", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].Status = "Fine" }, "ATT-061"},
		{"no word", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].Status = "" }, "ATT-061"},
		{"a word without a date", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].Date = "0001-01-01T00:00:00Z" }, "ATT-061"},
		{"an unknown word on the enclave", func(c *attesttest.TDXCollateral) { c.QE.Levels[0].Status = "uptodate" }, "ATT-061"},
		{"no levels", func(c *attesttest.TDXCollateral) { c.TCB.Levels = nil }, "ATT-061"},
		{"no levels of the enclave", func(c *attesttest.TDXCollateral) { c.QE.Levels = nil }, "ATT-061"},
		{"a level without its numbers", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].TCB.SGX = nil }, "ATT-061"},
		{"a level with a number less", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].TCB.TDX = c.TCB.Levels[0].TCB.TDX[:15] }, "ATT-061"},
		{"a level without PCE", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].TCB.PCESVN = nil }, "ATT-061"},
		{"an enclave level without its number", func(c *attesttest.TDXCollateral) { c.QE.Levels[0].TCB.ISVSVN = nil }, "ATT-061"},
		{"a newer PCE demanded", func(c *attesttest.TDXCollateral) { *c.TCB.Levels[0].TCB.PCESVN++ }, "ATT-061"},
		{"newer microcode demanded", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].TCB.SGX[7].SVN++ }, "ATT-061"},
		{"a newer last number demanded", func(c *attesttest.TDXCollateral) { c.TCB.Levels[0].TCB.TDX[15].SVN++ }, "ATT-061"},
		{"no identity of the enclave", func(c *attesttest.TDXCollateral) { c.QE.MRSigner = "" }, "ATT-040"},
		{"no mask", func(c *attesttest.TDXCollateral) { c.QE.AttributesMask = "" }, "ATT-040"},
		{"no attributes", func(c *attesttest.TDXCollateral) { c.QE.Attributes, c.QE.AttributesMask = "", "" }, "ATT-040"},
		{"no signer of modules", func(c *attesttest.TDXCollateral) { c.TCB.Module.MRSigner = "" }, "ATT-040"},
		{"another signer of modules", func(c *attesttest.TDXCollateral) { c.TCB.Module.MRSigner = strings.Repeat("01", 48) }, "ATT-040"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tdxRound(t, m)
			x.evidence.Endorsements = m.Collateral(t, c.change)
			x.refusedTDX(t, c.code)
		})
	}
}

// TestTDXEvidenceRefused: the pieces are honest, but not together.
func TestTDXEvidenceRefused(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	other := attesttest.NewTDX(t, tdxNow, nil)
	sibling := *m
	sibling.CAKey = attesttest.TDXKey(t)
	sibling.CA = m.Certify(t, "Intel SGX PCK Processor CA", &sibling.CAKey.PublicKey, true, m.Root, m.RootKey)
	renamed := *m
	renamed.CA = m.Certify(t, "Intel SGX PCK Processor CA", &m.CAKey.PublicKey, true, m.Root, m.RootKey)
	crls := func(from *attesttest.TDX) [][]byte {
		c := from.Collateral(t, nil)
		return [][]byte{c[2].Body, c[3].Body}
	}
	type evidence = *attest.Evidence
	for _, c := range []struct {
		name   string
		change func(evidence)
		code   string
	}{
		{"no collateral", func(e evidence) { e.Endorsements = nil }, "ATT-033"},
		{"no TCB info", func(e evidence) { e.Endorsements = e.Endorsements[1:] }, "ATT-033"},
		{"no QE identity", func(e evidence) { e.Endorsements = slices.Delete(e.Endorsements, 1, 2) }, "ATT-033"},
		{"no list of the root", func(e evidence) { e.Endorsements = slices.Delete(e.Endorsements, 2, 3) }, "ATT-033"},
		{"no list of the issuer", func(e evidence) { e.Endorsements = e.Endorsements[:3] }, "ATT-033"},
		{"one of another kind", func(e evidence) {
			e.Endorsements = append(e.Endorsements, attest.Endorsement{Kind: attest.SNPCRL, Body: []byte{1}})
		}, "ATT-011"},
		{"one twice", func(e evidence) { e.Endorsements = append(e.Endorsements, e.Endorsements[0]) }, "ATT-011"},
		{"a list with a chain", func(e evidence) { e.Endorsements[2].Chain = e.Endorsements[0].Chain }, "ATT-011"},
		{"certificates beside the quote", func(e evidence) { e.Certificates = e.Endorsements[0].Chain }, "ATT-011"},
		{"another machine's collateral", func(e evidence) { e.Endorsements = other.Collateral(t, nil) }, "ATT-031"},
		{"TCB info without its chain", func(e evidence) { e.Endorsements[0].Chain = nil }, "ATT-030"},
		{"QE identity without its chain", func(e evidence) { e.Endorsements[1].Chain = nil }, "ATT-030"},
		{"a chain without its root", func(e evidence) { e.Endorsements[0].Chain = e.Endorsements[0].Chain[:1] }, "ATT-030"},
		{"a chain with more", func(e evidence) { e.Endorsements[0].Chain = [][]byte{m.TCBSigner.Raw, m.CA.Raw, m.Root.Raw} }, "ATT-030"},
		{"a chain of noise", func(e evidence) { e.Endorsements[1].Chain = [][]byte{{0x30, 0x80}, m.Root.Raw} }, "ATT-030"},
		{"TCB info for QE identity", func(e evidence) { e.Endorsements[1].Body = e.Endorsements[0].Body }, "ATT-011"},
		{"the lists exchanged", func(e evidence) {
			e.Endorsements[2].Body, e.Endorsements[3].Body = e.Endorsements[3].Body, e.Endorsements[2].Body
		}, "ATT-030"},
		{"another root's list", func(e evidence) { e.Endorsements[2].Body = crls(other)[0] }, "ATT-030"},
		{"another issuer's list", func(e evidence) { e.Endorsements[3].Body = crls(other)[1] }, "ATT-030"},
		{"the list of another issuer under the root", func(e evidence) { e.Endorsements[3].Body = crls(&sibling)[1] }, "ATT-030"},
		{"a list in another name", func(e evidence) { e.Endorsements[3].Body = crls(&renamed)[1] }, "ATT-030"},
		{"noise for a list", func(e evidence) { e.Endorsements[2].Body = []byte{0x30, 0x80} }, "ATT-011"},
		{"a byte after a list", func(e evidence) { e.Endorsements[3].Body = append(e.Endorsements[3].Body, 0) }, "ATT-011"},
		{"noise for TCB info", func(e evidence) { e.Endorsements[0].Body = []byte("[") }, "ATT-011"},
		{"deep TCB info", func(e evidence) { e.Endorsements[0].Body = bytes.Repeat([]byte{'['}, attest.MaxEndorsement) }, "ATT-011"},
		{"TCB info without signature", func(e evidence) { e.Endorsements[0].Body = []byte(`{"tcbInfo":{}}`) }, "ATT-011"},
		{"TCB info with more", func(e evidence) {
			e.Endorsements[0].Body = append([]byte(`{"a":1,`), e.Endorsements[0].Body[1:]...)
		}, "ATT-011"},
		{"an empty signature", func(e evidence) { e.Endorsements[0].Body = []byte(`{"tcbInfo":{},"signature":""}`) }, "ATT-011"},
		{"a signature of zeros", func(e evidence) {
			e.Endorsements[0].Body = fmt.Appendf(nil, `{"tcbInfo":{},"signature":"%0128d"}`, 0)
		}, "ATT-040"},
		{"capitals in a signature", func(e evidence) {
			b := e.Endorsements[0].Body
			copy(b[len(b)-130:], bytes.ToUpper(b[len(b)-130:]))
		}, "ATT-011"},
		{"two line feeds", func(e evidence) {
			e.Endorsements[0].Body = append(e.Endorsements[0].Body, "\n\n"...)
		}, "ATT-011"},
		{"a field more", func(e evidence) {
			e.Endorsements[0].Body = bytes.Replace(e.Endorsements[0].Body, []byte(`,"signature"`), []byte(`,"a":1,"signature"`), 1)
		}, "ATT-040"},
		{"a status changed", func(e evidence) {
			e.Endorsements[1].Body = bytes.Replace(e.Endorsements[1].Body, []byte(`"isvsvn":4`), []byte(`"isvsvn":3`), 1)
		}, "ATT-040"},
		{"a space more", func(e evidence) {
			e.Endorsements[0].Body = bytes.Replace(e.Endorsements[0].Body, []byte(`"id":`), []byte(`"id": `), 1)
		}, "ATT-040"},
		{"written anew", func(e evidence) {
			var v map[string]any
			check(t, json.Unmarshal(e.Endorsements[0].Body, &v))
			b, err := json.Marshal(v)
			check(t, err)
			e.Endorsements[0].Body = b
		}, "ATT-011"},
		{"no quote", func(e evidence) { e.Report = nil }, "ATT-011"},
		{"a quote for other evidence", func(e evidence) { e.Report = m.Quote(t, attest.ReportData([]byte("other")), nil) }, "ATT-041"},
		{"another machine's quote", func(e evidence) { e.Report = other.Quote(t, [64]byte{1}, nil) }, "ATT-031"},
		{"called SNP", func(e evidence) { e.Type = attest.SEVSNP }, "ATT-011"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tdxRound(t, m)
			c.change(&x.evidence)
			x.refusedTDX(t, c.code)
		})
	}
	t.Run("a quoting enclave in debug mode that the mask passes over", func(t *testing.T) {
		x := tdxRound(t, m)
		x.evidence.Endorsements = m.Collateral(t, func(c *attesttest.TDXCollateral) { c.QE.AttributesMask = "F9FFFFFFFFFFFFFF0000000000000000" })
		_, err := x.verify()
		check(t, err)
		x.evidence.Report = m.Quote(t, attest.ReportData(x.claims), func(q *attesttest.TDXQuote) { q.QEReport[attesttest.QEAtAttributes] = 0x17 })
		x.refusedTDX(t, "ATT-040")
	})
	t.Run("an issuer of other certificates with a list of its own", func(t *testing.T) {
		o := *m
		o.CA = m.Certify(t, "Intel SGX PCK Other CA", &m.CAKey.PublicKey, true, m.Root, m.RootKey)
		o.PCK = m.Certify(t, "Intel SGX PCK Certificate", &m.PCKKey.PublicKey, false, o.CA, m.CAKey, m.Platform.Extension(t))
		x := tdxRound(t, &o)
		x.refusedTDX(t, "ATT-030")
		o.CA = m.Certify(t, "Intel SGX PCK Processor CA", &m.CAKey.PublicKey, true, m.Root, m.RootKey)
		o.PCK = m.Certify(t, "Intel SGX PCK Certificate", &m.PCKKey.PublicKey, false, o.CA, m.CAKey, m.Platform.Extension(t))
		_, err := tdxRound(t, &o).verify()
		check(t, err)
	})
	t.Run("the built-in root", func(t *testing.T) {
		x := tdxRound(t, m)
		x.roots = verify.Roots{}
		x.refusedTDX(t, "ATT-031")
	})
}

// TestTDXLengths puts extremes into every length of a quote, and cuts and grows
// it at every place. Such quotes break the parsers of some libraries.
func TestTDXLengths(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	for _, change := range []quoteChange{nil, (*attesttest.TDXQuote).V5} {
		x := tdxRound(t, m)
		whole := m.Quote(t, attest.ReportData(x.claims), change)
		for _, mutant := range tdxMutants(whole) {
			x.evidence.Report = mutant
			x.refusedTDX(t, "ATT-011")
		}
		const vendor = 12
		x.evidence.Report = bytes.Clone(whole)
		x.evidence.Report[vendor] ^= 1
		x.refusedTDX(t, "ATT-011")
		for n := 1; n < len(whole); n++ {
			x.evidence.Report = whole[:n]
			x.refusedTDX(t, "ATT-011")
		}
		for _, n := range []int{1, 2, 64, 3065} {
			x.evidence.Report = append(bytes.Clone(whole), make([]byte, n)...)
			x.refusedTDX(t, "ATT-011")
		}
		x.evidence.Report = append(bytes.Clone(whole), make([]byte, attest.MaxReport)...)
		x.refusedTDX(t, "ATT-011")
	}
}

// tdxMutants are quotes with one wrong length or kind.
func tdxMutants(whole []byte) (out [][]byte) {
	le := binary.LittleEndian
	signature := 48 + 584
	type field struct{ at, size int }
	fields := []field{{0, 2}, {2, 2}, {4, 4}}
	if le.Uint16(whole) == 5 {
		signature = 48 + 6 + 648
		fields = append(fields, field{48, 2}, field{50, 4})
	}
	outer := signature + 4 + 128
	auth := outer + 6 + 384 + 64
	inner := auth + 2 + int(le.Uint16(whole[auth:]))
	fields = append(fields, field{signature, 4}, field{outer, 2}, field{outer + 2, 4}, field{auth, 2}, field{inner, 2}, field{inner + 2, 4})
	for _, f := range fields {
		for _, v := range []uint32{0, 1, 2, 3, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff} {
			for _, delta := range []bool{false, true} {
				m := bytes.Clone(whole)
				switch {
				case f.size == 2 && delta:
					le.PutUint16(m[f.at:], le.Uint16(m[f.at:])+uint16(v))
				case f.size == 2:
					le.PutUint16(m[f.at:], uint16(v))
				case delta:
					le.PutUint32(m[f.at:], le.Uint32(m[f.at:])+v)
				default:
					le.PutUint32(m[f.at:], v)
				}
				if !bytes.Equal(m, whole) {
					out = append(out, m)
				}
			}
		}
	}
	return out
}
