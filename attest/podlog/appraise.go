package podlog

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

// logPCR is the register of a TPM that the log is extended into.
const logPCR = 14

// Codes of what is checked beyond the log itself.
const (
	codeReplay   = "ATT-100"
	codeBoundary = "ATT-102"
	codeMissing  = "ATT-104"
	codeManifest = "ATT-110"
	codeImages   = "ATT-111"
)

// Shown is what a provider shows of its log beside its evidence, from the first
// record on. Nothing of it is checked yet.
type Shown struct {
	Records []Record
	// Openings are by sequence number; those of other tenants are not there.
	Openings map[uint64]Opening
}

// Expected is what the log has to show.
type Expected struct {
	// Init is what boot left in the register: zeros where nothing else is known.
	// It never comes from the log itself.
	Init  Head
	Rules Rules
	// Pod is what was deployed; nil looks at the log alone.
	Pod *ExpectedPod
}

// ExpectedPod is a pod as its publisher deployed it.
type ExpectedPod struct {
	ID string
	// Publisher is the text form of its peer id; "" is not compared.
	Publisher string
	Revision  uint64
	Manifest  Digest
	// Images are those that the manifest pins, one for each container.
	Images []ExpectedImage
}

// ExpectedImage is the image of a container: its CID and the digest of its
// configuration, "sha256:...".
type ExpectedImage struct{ Container, CID, ImageID string }

// Entry is a record and, where it was opened, what it says.
type Entry struct {
	Record Record
	// Event is nil for a record of somebody else's.
	Event Event
}

// Appraise holds a log against authentic evidence: it has to replay to what the
// evidence shows, events have to be in order, the last start has to be that of
// the process that answered, and what happened to the pod has to be what was
// deployed. It stops at the first check that fails. The entries are those of
// a log that replays, nil for any other.
//
// The evidence says which register it has to be: RTMR 3 of TDX, also where a TPM's
// quote is beside it, the quoted one of a TPM, and none elsewhere, where the claims' head is worth what the software
// is that claims it ([attest.AnchorAgentAsserted]).
func Appraise(r *attest.Result, shown Shown, want Expected) ([]attest.Check, []Entry) {
	a := &appraisal{r: r, shown: shown, want: want, anchor: attest.AnchorAgentAsserted}
	for _, step := range []func() bool{a.register, a.replay, a.boundary, a.open, a.start, a.pod, a.images} {
		if !step() {
			break
		}
	}
	return a.checks, a.entries
}

type appraisal struct {
	r      *attest.Result
	shown  Shown
	want   Expected
	anchor attest.Anchor
	// value is the attested value of the register in bank.
	bank    Bank
	value   []byte
	checks  []attest.Check
	entries []Entry
	// begin is the position after the pod's order.
	begin int
}

func (a *appraisal) pass(code, name, got string) bool {
	a.checks = append(a.checks, attest.Check{Code: code, Name: name, OK: true, Anchor: a.anchor, Got: got})
	return true
}

func (a *appraisal) fail(code, name, got, want string) bool {
	a.checks = append(a.checks, attest.Check{Code: code, Name: name, Anchor: a.anchor, Got: got, Want: want})
	return false
}

// refuse is fail for an error of this package.
func (a *appraisal) refuse(name string, err error) bool {
	got, want := err.Error(), "a log that holds"
	if p := status.Public(err); len(p.Faults) > 0 {
		got, want = p.Faults[0].Field+" "+p.Faults[0].Got, p.Faults[0].Want
	}
	return a.fail(cmp.Or(CheckCode(err), codeReplay), name, got, want)
}

// register finds the value that the log has to lead to.
func (a *appraisal) register() bool {
	const name = "pod log register"
	c, want := a.r.Claims, RegisterNone
	switch {
	case a.r.TDX != nil:
		want = RegisterRTMR
	case a.r.TPM != nil:
		want = RegisterPCR
	}
	if c.Register != want {
		return a.fail(codeReplay, name, fmt.Sprintf("%.32q", c.Register), want)
	}
	a.bank, _ = BankOf(want)
	switch want {
	case RegisterNone:
		a.value = c.PodLogHead
	case RegisterRTMR:
		a.value = a.r.TDX.RTMRs[3]
	case RegisterPCR:
		for _, p := range a.r.TPM.PCRs {
			if p.Index == logPCR && p.Bank == string(a.bank) {
				a.value = p.Value
			}
		}
	}
	if want == RegisterRTMR {
		a.anchor = attest.AnchorHardware
	} else if want != RegisterNone && len(a.r.Checks) > 0 {
		a.anchor = a.r.Checks[len(a.r.Checks)-1].Anchor
	}
	if len(a.value) == 0 {
		return a.fail(codeReplay, name, "no value", want)
	}
	return a.pass(codeReplay, name, want)
}

func (a *appraisal) replay() bool {
	const name = "pod log replay"
	h, err := CheckReplay(a.shown.Records, a.want.Init, a.bank, a.value)
	if err != nil {
		return a.refuse(name, err)
	}
	c := a.r.Claims
	if h.Length != c.PodLogLength {
		return a.fail(codeReplay, name, fmt.Sprintf("%d records", h.Length), fmt.Sprintf("%d, as claimed", c.PodLogLength))
	}
	if !bytes.Equal(a.value, c.PodLogHead) {
		return a.fail(codeReplay, name, "claimed "+cmp.Or(hex.EncodeToString(c.PodLogHead), "none"), hex.EncodeToString(a.value))
	}
	for _, r := range a.shown.Records {
		a.entries = append(a.entries, Entry{Record: r})
	}
	return a.pass(codeReplay, name, fmt.Sprintf("%d records", h.Length))
}

func (a *appraisal) boundary() bool {
	const name = "pod log order"
	if err := CheckBoundary(a.shown.Records, a.want.Rules); err != nil {
		return a.refuse(name, err)
	}
	starts := 0
	for _, r := range a.shown.Records {
		if r.Type == TypeAgentStart {
			starts++
		}
	}
	return a.pass(codeBoundary, name, fmt.Sprintf("set up before serving, %d starts", starts))
}

func (a *appraisal) open() bool {
	const name = "pod log openings"
	opened := 0
	for i := range a.entries {
		o, ok := a.shown.Openings[uint64(i)]
		if !ok {
			continue
		}
		e, err := Open(a.entries[i].Record, o)
		if err != nil {
			return a.refuse(name, err)
		}
		a.entries[i].Event = e
		opened++
	}
	if opened < len(a.shown.Openings) {
		return a.fail(codeReplay, name, "openings of records that are not there", "only those of the log")
	}
	return a.pass(codeReplay, name, fmt.Sprintf("%d of %d records", opened, len(a.entries)))
}

// start compares the last start of the software with who answered. The log
// alone needs no openings.
func (a *appraisal) start() bool {
	const name = "pod log start"
	if a.want.Pod == nil {
		return true
	}
	var last *AgentStart
	for _, e := range a.entries {
		if e.Record.Type == TypeAgentStart {
			last, _ = e.Event.(*AgentStart)
		}
	}
	if last == nil {
		return a.fail(codeMissing, name, "the last agent-start was not opened", "opened")
	}
	c := a.r.Claims
	if want := KeysDigest(c.HPKEPublicKey, c.ReceiptPublicKey); last.Keys != want {
		return a.fail(codeBoundary, name, "keys "+last.Keys.String(), want.String()+", those of the claims")
	}
	if !bytes.Equal(last.BootEpoch, c.BootEpoch) {
		return a.fail(codeBoundary, name, "boot "+hex.EncodeToString(last.BootEpoch), hex.EncodeToString(c.BootEpoch)+", that of the claims")
	}
	return a.pass(codeBoundary, name, "program "+last.Binary.String())
}

// pod compares the order that was accepted with what was deployed.
func (a *appraisal) pod() bool {
	const name = "pod manifest"
	p := a.want.Pod
	if p == nil {
		return true
	}
	c := a.r.Claims.Pod
	if c == nil || c.PodID != p.ID {
		return a.fail(codeManifest, name, "claims of no or another pod", p.ID)
	}
	if !bytes.Equal(c.ManifestDigest, p.Manifest[:]) {
		return a.fail(codeManifest, name, "claimed sha256:"+hex.EncodeToString(c.ManifestDigest), p.Manifest.String())
	}
	var order *PodCreate
	for i, e := range a.entries {
		if e, ok := e.Event.(*PodCreate); ok && e.PodID == p.ID && e.Revision == p.Revision {
			order, a.begin = e, i+1
		}
	}
	if order == nil {
		return a.fail(codeMissing, name, "no pod-create that was opened", fmt.Sprintf("one of revision %d", p.Revision))
	}
	if order.Manifest != p.Manifest {
		return a.fail(codeManifest, name, order.Manifest.String(), p.Manifest.String())
	}
	if p.Publisher != "" && order.Publisher != p.Publisher {
		return a.fail(codeManifest, name, "publisher "+order.Publisher, p.Publisher)
	}
	for _, e := range a.entries[a.begin:] {
		if e, ok := e.Event.(*KeyRelease); ok && e.PodID == p.ID && e.Revision == p.Revision && e.Manifest != p.Manifest {
			return a.fail(codeManifest, name, "keys released for "+e.Manifest.String(), p.Manifest.String())
		}
	}
	return a.pass(codeManifest, name, p.Manifest.String())
}

// images compares every container that was made, and asks for each instance
// that runs that all of its containers were.
func (a *appraisal) images() bool {
	const name = "pod images"
	p := a.want.Pod
	if p == nil {
		return true
	}
	pinned := map[string]ExpectedImage{}
	for _, i := range p.Images {
		pinned[i.Container] = i
	}
	for _, i := range a.r.Claims.Pod.Images {
		if w, ok := pinned[i.Container]; !ok || i.ImageID != w.ImageID || i.CID != w.CID {
			return a.fail(codeImages, name, fmt.Sprintf("claimed %s: %s", i.Container, i.ImageID), cmp.Or(w.ImageID, "no such container"))
		}
	}
	// runs has the start of each instance that was not stopped.
	runs, made := map[string]*PodStart{}, map[string]map[string]bool{}
	var newest time.Time
	for i, entry := range a.entries {
		switch e := entry.Event.(type) {
		case *PodStart:
			if e.PodID == p.ID {
				runs[e.Instance] = e
				if e.Revision == p.Revision {
					newest = e.At
				}
				if i >= a.begin && e.Revision == p.Revision && len(made[e.Instance]) < len(pinned) {
					return a.fail(codeImages, name, fmt.Sprintf("record %d starts %d of its containers", i, len(made[e.Instance])), fmt.Sprintf("%d that were measured", len(pinned)))
				}
			}
		case *PodStop:
			if e.PodID == p.ID {
				delete(runs, e.Instance)
				delete(made, e.Instance)
			}
		case *ImageExec:
			if i < a.begin || e.PodID != p.ID || !ofRevision(e.Instance, p) {
				continue
			}
			w, ok := pinned[e.Container]
			if !ok || e.ImageID.String() != w.ImageID || e.CID != w.CID {
				return a.fail(codeImages, name, fmt.Sprintf("%s: %s", e.Container, e.ImageID), cmp.Or(w.ImageID, "no such container"))
			}
			if made[e.Instance] == nil {
				made[e.Instance] = map[string]bool{}
			}
			made[e.Instance][e.Container] = true
		}
	}
	beside := 0
	for instance, start := range runs {
		if start.Revision != p.Revision || !ofRevision(instance, p) {
			if !a.rolling(start, newest) {
				return a.fail(codeImages, name, fmt.Sprintf("revision %d of instance %s runs", start.Revision, instance), fmt.Sprintf("revision %d", p.Revision))
			}
			beside++
			continue
		}
		if len(made[instance]) < len(pinned) {
			return a.fail(codeImages, name, "instance "+instance+" runs unmeasured", "all of its containers measured")
		}
	}
	if len(runs) == beside {
		return a.fail(codeMissing, name, "nothing that was started", "an instance")
	}
	got := fmt.Sprintf("%d containers of %d instances", len(pinned), len(runs)-beside)
	if beside > 0 {
		got += fmt.Sprintf(", and %d of another revision during an update", beside)
	}
	return a.pass(codeImages, name, got)
}

const (
	// drainWindow is how long an earlier revision may run beside the expected one
	// after that was started last: what leads to it ends within half a minute,
	// it has ten seconds to stop, and the new one has to become healthy first.
	drainWindow = 5 * time.Minute
	// trialWindow is how long a later revision may be tried out beside it.
	trialWindow = 15 * time.Minute
)

// rolling reports whether an instance of another revision runs only as long as an
// update takes. All times are the log's and the claims'.
func (a *appraisal) rolling(start *PodStart, newest time.Time) bool {
	since, window := newest, drainWindow
	if start.Revision > a.want.Pod.Revision {
		since, window = start.At, trialWindow
	}
	age := a.r.Claims.IssuedAt.Sub(since)
	return !since.IsZero() && age >= 0 && age <= window
}

// ofRevision reports whether an instance is one of the expected revision: its
// name is "POD-REVISION-REPLICA".
func ofRevision(instance string, p *ExpectedPod) bool {
	prefix := fmt.Sprintf("%s-%d-", p.ID, p.Revision)
	return len(instance) > len(prefix) && instance[:len(prefix)] == prefix
}
