package attesttest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"testing"
	"time"

	"apocryph/attest"
)

// intelQESigner is MRSIGNER of Intel's quoting enclaves.
var intelQESigner = []byte{
	0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03,
	0x0f, 0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5,
}

// TDXCollateral is what a synthetic Intel says before it signs.
type TDXCollateral struct {
	TCB TDXTCBInfo
	QE  TDXQEIdentity
	// RootCRL and PCKCRL are the lists of root and issuer.
	RootCRL, PCKCRL x509.RevocationList
	// Signer and SignerKey sign TCB info and QE identity.
	Signer    *x509.Certificate
	SignerKey *ecdsa.PrivateKey
}

// TDXHead starts both of Intel's statements.
type TDXHead struct {
	ID         string    `json:"id"`
	Version    int       `json:"version"`
	IssueDate  time.Time `json:"issueDate"`
	NextUpdate time.Time `json:"nextUpdate"`
	Evaluation int       `json:"tcbEvaluationDataNumber"`
}

// TDXTCBInfo is Intel's TCB info, version 3.
type TDXTCBInfo struct {
	TDXHead
	FMSPC      string              `json:"fmspc"`
	PCEID      string              `json:"pceId"`
	TCBType    int                 `json:"tcbType"`
	Module     TDXModuleIdentity   `json:"tdxModule"`
	Identities []TDXModuleIdentity `json:"tdxModuleIdentities,omitempty"`
	Levels     []TDXLevel          `json:"tcbLevels"`
}

// TDXModuleIdentity is a line of TDX modules.
type TDXModuleIdentity struct {
	ID         string     `json:"id,omitempty"`
	MRSigner   string     `json:"mrsigner"`
	Attributes string     `json:"attributes"`
	Mask       string     `json:"attributesMask"`
	Levels     []TDXLevel `json:"tcbLevels,omitempty"`
}

// TDXQEIdentity is Intel's enclave identity, version 2.
type TDXQEIdentity struct {
	TDXHead
	MiscSelect     string     `json:"miscselect"`
	MiscSelectMask string     `json:"miscselectMask"`
	Attributes     string     `json:"attributes"`
	AttributesMask string     `json:"attributesMask"`
	MRSigner       string     `json:"mrsigner"`
	ISVProdID      int        `json:"isvprodid"`
	Levels         []TDXLevel `json:"tcbLevels"`
}

// TDXLevel is a level of any of the three kinds.
type TDXLevel struct {
	TCB        TDXLevelTCB `json:"tcb"`
	Date       string      `json:"tcbDate"`
	Status     string      `json:"tcbStatus"`
	Advisories []string    `json:"advisoryIDs,omitempty"`
}

// TDXLevelTCB is what a level demands.
type TDXLevelTCB struct {
	SGX    []TDXComponent `json:"sgxtcbcomponents,omitempty"`
	PCESVN *int           `json:"pcesvn,omitempty"`
	TDX    []TDXComponent `json:"tdxtcbcomponents,omitempty"`
	ISVSVN *int           `json:"isvsvn,omitempty"`
}

// TDXComponent is one number of a level.
type TDXComponent struct {
	SVN      byte   `json:"svn"`
	Category string `json:"category,omitempty"`
}

// TDXPlatformLevel is a level of a platform.
func TDXPlatformLevel(status, date string, sgx [16]byte, pce int, tdx [16]byte, advisories ...string) TDXLevel {
	l := TDXLevel{TCB: TDXLevelTCB{PCESVN: &pce}, Date: date, Status: status, Advisories: advisories}
	for i := range sgx {
		l.TCB.SGX = append(l.TCB.SGX, TDXComponent{SVN: sgx[i]})
		l.TCB.TDX = append(l.TCB.TDX, TDXComponent{SVN: tdx[i]})
	}
	return l
}

// TDXVersionLevel is a level of a module or enclave.
func TDXVersionLevel(status, date string, version int, advisories ...string) TDXLevel {
	return TDXLevel{TCB: TDXLevelTCB{ISVSVN: &version}, Date: date, Status: status, Advisories: advisories}
}

// Collateral is what Intel's service answers for the platform: everything is up
// to date; change may be nil.
func (m *TDX) Collateral(t testing.TB, change func(*TDXCollateral)) []attest.Endorsement {
	t.Helper()
	from, until := m.now.Add(-time.Hour), m.now.AddDate(0, 0, 30)
	zeros := fmt.Sprintf("%096d", 0)
	module := TDXModuleIdentity{MRSigner: zeros, Attributes: zeros[:16], Mask: "FFFFFFFFFFFFFFFF"}
	line1 := module
	line1.ID, line1.Levels = "TDX_01", []TDXLevel{TDXVersionLevel("UpToDate", "2026-05-13T00:00:00Z", 6)}
	list := x509.RevocationList{Number: big.NewInt(1), ThisUpdate: from, NextUpdate: until.Add(24 * time.Hour)}
	c := &TDXCollateral{
		TCB: TDXTCBInfo{
			TDXHead: TDXHead{"TDX", 3, from, until, 18}, FMSPC: hex.EncodeToString(m.Platform.FMSPC[:]), PCEID: hex.EncodeToString(m.Platform.PCEID[:]),
			Module: module, Identities: []TDXModuleIdentity{line1},
			Levels: []TDXLevel{TDXPlatformLevel("UpToDate", "2026-05-13T00:00:00Z", m.Platform.SVNs, m.Platform.PCESVN, [16]byte{3, 0, 4})},
		},
		QE: TDXQEIdentity{
			TDXHead: TDXHead{"TD_QE", 2, from, until, 18}, MiscSelect: "00000000", MiscSelectMask: "FFFFFFFF",
			Attributes: "11000000000000000000000000000000", AttributesMask: "FBFFFFFFFFFFFFFF0000000000000000",
			MRSigner: fmt.Sprintf("%X", intelQESigner), ISVProdID: 2,
			Levels: []TDXLevel{TDXVersionLevel("UpToDate", "2026-05-13T00:00:00Z", 4)},
		},
		RootCRL: list, PCKCRL: list, Signer: m.TCBSigner, SignerKey: m.TCBKey,
	}
	if change != nil {
		change(c)
	}
	chain := [][]byte{c.Signer.Raw, m.Root.Raw}
	crl := func(list *x509.RevocationList, issuer *x509.Certificate, key *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateRevocationList(rand.Reader, list, issuer, key)
		must(t, err)
		return der
	}
	return []attest.Endorsement{
		{Kind: attest.TDXTCBInfo, Body: c.statement(t, "tcbInfo", c.TCB), Chain: chain},
		{Kind: attest.TDXQEIdentity, Body: c.statement(t, "enclaveIdentity", c.QE), Chain: chain},
		{Kind: attest.TDXRootCRL, Body: crl(&c.RootCRL, m.Root, m.RootKey)},
		{Kind: attest.TDXPCKCRL, Body: crl(&c.PCKCRL, m.CA, m.CAKey)},
	}
}

// TDXRevoke is an entry of a revocation list.
func TDXRevoke(c *x509.Certificate, at time.Time) x509.RevocationListEntry {
	return x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at, ReasonCode: 1}
}

// statement signs in the form of Intel's answers.
func (c *TDXCollateral) statement(t testing.TB, name string, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, name, b, TDXSign(t, c.SignerKey, b))
}
