package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tcbStatus is one of Intel's words, taken apart.
type tcbStatus struct{ revoked, outOfDate, configuration, hardening bool }

// statusRevoked is refused here; the others are a policy's to decide.
const statusRevoked = "Revoked"

// tcbStatuses are Intel's words (Provisioning Certification Service API, TCB
// info V3, "tcbStatus").
var tcbStatuses = map[string]tcbStatus{
	"UpToDate":                          {},
	"SWHardeningNeeded":                 {hardening: true},
	"ConfigurationNeeded":               {configuration: true},
	"ConfigurationAndSWHardeningNeeded": {configuration: true, hardening: true},
	"OutOfDate":                         {outOfDate: true},
	"OutOfDateConfigurationNeeded":      {outOfDate: true, configuration: true},
	statusRevoked:                       {revoked: true},
}

// String is the word. What is out of date has none for hardening: an update
// comes first.
func (s tcbStatus) String() string {
	switch {
	case s.revoked:
		return statusRevoked
	case s.outOfDate && s.configuration:
		return "OutOfDateConfigurationNeeded"
	case s.outOfDate:
		return "OutOfDate"
	case s.configuration && s.hardening:
		return "ConfigurationAndSWHardeningNeeded"
	case s.configuration:
		return "ConfigurationNeeded"
	case s.hardening:
		return "SWHardeningNeeded"
	}
	return "UpToDate"
}

// tcbWord is Intel's word for the whole of a platform.
type tcbWord struct {
	tcbStatus
	// date is that of the platform's level, or the earliest of what is out of
	// date: the time since which known holes may be open.
	date       time.Time
	advisories []string
}

// add takes a part's level into account. It does what Intel's verification
// library does with the words for module and quoting enclave
// (convergeTcbStatusWithTdxModuleStatus, convergeTcbStatusWithQeTcbStatus): the
// whole is as bad as its worst part, and what one needs they all need.
func (w *tcbWord) add(l *tcbLevel) *refusal {
	s, ok := tcbStatuses[l.Status]
	if !ok || l.Date.IsZero() {
		return &refusal{codePlatformStatus, fmt.Sprintf("a level of status %.40q", l.Status), "one of Intel's words, with a date", nil}
	}
	bad := s.outOfDate || s.revoked
	if w.date.IsZero() || bad && (!w.outOfDate && !w.revoked || l.Date.Before(w.date)) {
		w.date = l.Date
	}
	w.revoked = w.revoked || s.revoked
	w.outOfDate = w.outOfDate || s.outOfDate
	w.configuration = w.configuration || s.configuration
	w.hardening = w.hardening || s.hardening
	w.advisories = append(w.advisories, l.Advisories...)
	return nil
}

// judge finds Intel's word for platform, TDX module and quoting enclave. A part
// that Intel's collateral does not know is refused.
func (c *tdxCollateral) judge(q *tdxQuote, sgx *sgxExtension) (*tcbWord, *refusal) {
	if r := c.qe.matches(&q.qe); r != nil {
		return nil, r
	}
	if r := c.tcb.matchesModule(&q.body); r != nil {
		return nil, r
	}
	w := new(tcbWord)
	svns := [][16]byte{q.body.tcbSVN}
	// Since TDX 1.5 the module may be exchanged under a running guest. The one
	// that it was launched under set it up, the present one guards it: both count.
	if x := q.body.tcbSVN2; x != nil && *x != q.body.tcbSVN {
		svns = append(svns, *x)
	}
	for _, svn := range svns {
		if r := c.tcb.judge(w, sgx, svn); r != nil {
			return nil, r
		}
	}
	level := firstReached(c.qe.Levels, q.qe.isvSVN)
	if level == nil {
		return nil, &refusal{codePlatformStatus, fmt.Sprintf("a quoting enclave of version %d", q.qe.isvSVN), "one that Intel's QE identity knows", nil}
	}
	if r := w.add(level); r != nil {
		return nil, r
	}
	slices.Sort(w.advisories)
	w.advisories = slices.Compact(w.advisories)
	return w, nil
}

// judge adds the levels that a platform and its TDX module reach. It follows the
// algorithm of "Get TDX TCB Info" (Provisioning Certification Service API,
// version 4), steps 3 and 4: levels are sorted, newest first, and the first one
// all of whose numbers are reached counts.
func (t *tcbInfo) judge(w *tcbWord, sgx *sgxExtension, svn [16]byte) *refusal {
	i := slices.IndexFunc(t.Levels, func(l tcbLevel) bool { return l.reached(sgx, svn) })
	if i < 0 {
		return &refusal{codePlatformStatus, fmt.Sprintf("a platform of TCB %x, PCE %d, TDX %x", sgx.svns, sgx.pceSVN, svn), "a level that Intel's TCB info knows", nil}
	}
	if r := w.add(&t.Levels[i]); r != nil {
		return r
	}
	if svn[1] == 0 {
		return nil
	}
	module := t.module(svn[1])
	if module == nil {
		return &refusal{codePlatformStatus, fmt.Sprintf("a TDX module of line %d", svn[1]), "one that Intel's TCB info knows", nil}
	}
	level := firstReached(module.Levels, uint16(svn[0]))
	if level == nil {
		return &refusal{codePlatformStatus, fmt.Sprintf("a TDX module of line %d, version %d", svn[1], svn[0]), "a level that Intel's TCB info knows", nil}
	}
	return w.add(level)
}

// reached compares number by number. The first two of the TDX numbers are the
// module's: from line 1 on it has levels of its own.
func (l *tcbLevel) reached(sgx *sgxExtension, svn [16]byte) bool {
	if len(l.TCB.SGX) != len(sgx.svns) || len(l.TCB.TDX) != len(svn) || l.TCB.PCESVN == nil || sgx.pceSVN < *l.TCB.PCESVN {
		return false
	}
	for i, c := range l.TCB.SGX {
		if sgx.svns[i] < c.SVN {
			return false
		}
	}
	from := 0
	if svn[1] > 0 {
		from = 2
	}
	for i := from; i < len(svn); i++ {
		if svn[i] < l.TCB.TDX[i].SVN {
			return false
		}
	}
	return true
}

// firstReached is the first level whose version is reached, or nil.
func firstReached(levels []tcbLevel, version uint16) *tcbLevel {
	for i, l := range levels {
		if l.TCB.ISVSVN != nil && version >= *l.TCB.ISVSVN {
			return &levels[i]
		}
	}
	return nil
}

// module returns the identity of a line of TDX modules, or nil.
func (t *tcbInfo) module(line byte) *moduleIdentity {
	if line == 0 {
		return &t.Module
	}
	id := fmt.Sprintf("TDX_%02x", line)
	for i, m := range t.ModuleIdentities {
		if strings.EqualFold(m.ID, id) {
			return &t.ModuleIdentities[i]
		}
	}
	return nil
}

// matchesModule refuses a TDX module that is not Intel's (Intel TDX DCAP,
// "TDX module identity": MRSIGNERSEAM and SEAMATTRIBUTES). The platform's
// loader starts no other, and a debuggable one shows here.
func (t *tcbInfo) matchesModule(b *tdxBody) *refusal {
	m := t.module(b.tcbSVN[1])
	if m == nil {
		return &refusal{codePlatformStatus, fmt.Sprintf("a TDX module of line %d", b.tcbSVN[1]), "one that Intel's TCB info knows", nil}
	}
	if !bytes.Equal(m.MRSigner, b.mrSignerSeam) || !masked(b.seamAttributes, m.Mask, m.Attributes) {
		return &refusal{
			codeSignature, fmt.Sprintf("a TDX module of signer %s, attributes %x", short(b.mrSignerSeam), b.seamAttributes),
			"Intel's", nil,
		}
	}
	return nil
}

// sgxDebug is the bit of an enclave's attributes that opens it to a debugger
// (Intel SDM volume 3D, 34.7.1).
const sgxDebug = 1 << 1

// matches refuses an enclave that is not Intel's TD quoting enclave: its owner
// would have it sign whatever he likes. See "Get TD QE Identity".
func (id *enclaveIdentity) matches(qe *qeReport) *refusal {
	switch {
	case !bytes.Equal(id.MRSigner, qe.mrSigner):
		return &refusal{codeSignature, "a quoting enclave of signer " + short(qe.mrSigner), short(id.MRSigner) + ", which is Intel's", nil}
	case id.ISVProdID == nil || *id.ISVProdID != qe.isvProdID:
		return &refusal{codeSignature, fmt.Sprintf("an enclave that is Intel's product %d", qe.isvProdID), "Intel's TD quoting enclave", nil}
	case !masked(qe.attributes, id.AttributesMask, id.Attributes) || qe.attributes[0]&sgxDebug != 0:
		return &refusal{codeSignature, fmt.Sprintf("a quoting enclave with attributes %x", qe.attributes), fmt.Sprintf("%x under mask %x", []byte(id.Attributes), []byte(id.AttributesMask)), nil}
	case !masked(qe.miscSelect, id.MiscSelectMask, id.MiscSelect):
		return &refusal{codeSignature, fmt.Sprintf("a quoting enclave with MISCSELECT %x", qe.miscSelect), fmt.Sprintf("%x under mask %x", []byte(id.MiscSelect), []byte(id.MiscSelectMask)), nil}
	}
	return nil
}

// masked says whether got has the wanted bits where the mask has ones.
func masked(got, mask, want []byte) bool {
	if len(got) == 0 || len(mask) != len(got) || len(want) != len(got) {
		return false
	}
	for i := range got {
		if got[i]&mask[i] != want[i] {
			return false
		}
	}
	return true
}
