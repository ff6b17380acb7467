package verify

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// hexBytes is text of hexadecimal digits, of either case.
type hexBytes []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// tcbInfo is what Intel knows of the firmware of one kind of platform (Intel
// SGX and TDX Provisioning Certification Service API, version 4, "Get TDX TCB
// Info": appendix "TCB info V3").
type tcbInfo struct {
	issued
	FMSPC            hexBytes         `json:"fmspc"`
	PCEID            hexBytes         `json:"pceId"`
	TCBType          int              `json:"tcbType"`
	Module           moduleIdentity   `json:"tdxModule"`
	ModuleIdentities []moduleIdentity `json:"tdxModuleIdentities"`
	Levels           []tcbLevel       `json:"tcbLevels"`
}

// issued is the head of all of Intel's statements.
type issued struct {
	ID         string    `json:"id"`
	Version    int       `json:"version"`
	IssueDate  time.Time `json:"issueDate"`
	NextUpdate time.Time `json:"nextUpdate"`
	Evaluation int       `json:"tcbEvaluationDataNumber"`
}

// moduleIdentity is one line of TDX modules. The one without an id is that of
// TDX 1.0, whose levels are the platform's.
type moduleIdentity struct {
	ID         string     `json:"id"`
	MRSigner   hexBytes   `json:"mrsigner"`
	Attributes hexBytes   `json:"attributes"`
	Mask       hexBytes   `json:"attributesMask"`
	Levels     []tcbLevel `json:"tcbLevels"`
}

// enclaveIdentity is how Intel's quoting enclave is known (the same, "Get TD QE
// Identity": appendix "Enclave identity V2").
type enclaveIdentity struct {
	issued
	MiscSelect     hexBytes   `json:"miscselect"`
	MiscSelectMask hexBytes   `json:"miscselectMask"`
	Attributes     hexBytes   `json:"attributes"`
	AttributesMask hexBytes   `json:"attributesMask"`
	MRSigner       hexBytes   `json:"mrsigner"`
	ISVProdID      *uint16    `json:"isvprodid"`
	Levels         []tcbLevel `json:"tcbLevels"`
}

// tcbLevel is a set of least versions and Intel's word for what reaches them.
// Which fields of TCB are there depends on what the level is of.
type tcbLevel struct {
	TCB struct {
		SGX    []tcbComponent `json:"sgxtcbcomponents"`
		TDX    []tcbComponent `json:"tdxtcbcomponents"`
		PCESVN *uint16        `json:"pcesvn"`
		ISVSVN *uint16        `json:"isvsvn"`
	} `json:"tcb"`
	Date       time.Time `json:"tcbDate"`
	Status     string    `json:"tcbStatus"`
	Advisories []string  `json:"advisoryIDs"`
}

type tcbComponent struct {
	SVN uint8 `json:"svn"`
}

// parseSigned cuts a statement out of the answer that carries it, as the exact
// bytes that were signed, with its signature.
func parseSigned(body []byte, name string) (statement json.RawMessage, signature hexBytes, err error) {
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(body, &outer); err != nil {
		return nil, nil, err
	}
	if len(outer) != 2 || outer[name] == nil || outer["signature"] == nil {
		return nil, nil, errors.New("not a statement and its signature")
	}
	if err := json.Unmarshal(outer["signature"], &signature); err != nil {
		return nil, nil, err
	}
	return outer[name], signature, nil
}
