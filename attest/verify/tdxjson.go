package verify

import (
	"bytes"
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
// bytes that were signed, with its signature. The answer is held against the form
// in which Intel's service gives it, to the byte: what is around the statement is
// not signed, and need not be read in two ways.
func parseSigned(body []byte, name string) (statement json.RawMessage, signature []byte, err error) {
	body = bytes.TrimSuffix(body, []byte("\n"))
	head, middle, tail := `{"`+name+`":`, `,"signature":"`, `"}`
	end := len(body) - len(tail) - 2*p256Size - len(middle)
	if end < len(head) || string(body[:len(head)]) != head || string(body[end:end+len(middle)]) != middle || string(body[len(body)-len(tail):]) != tail {
		return nil, nil, errors.New("not a statement and its signature")
	}
	digits := body[end+len(middle) : len(body)-len(tail)]
	signature = make([]byte, p256Size)
	if _, err := hex.Decode(signature, digits); err != nil {
		return nil, nil, err
	}
	if hex.EncodeToString(signature) != string(digits) {
		return nil, nil, errNotOfThisForm
	}
	return json.RawMessage(body[len(head):end]), signature, nil
}
