package bootlog

import (
	"bytes"
	"fmt"
	"slices"

	"apocryph/proto/status"
)

// Bounds on a log. The longest of the real ones in the tests has 262144 bytes,
// most of them padding, and the fullest 166 events.
const (
	// MaxLog is the largest log, in bytes: a peer that sends evidence cannot make
	// a verifier hash more than some multiple of it.
	MaxLog = 1 << 20
	// maxEvents keeps a log of empty events, 16 bytes each, from costing 65,536
	// hashes and allocations.
	maxEvents = 4096
	// maxBanks keeps a header from making each event a hundred digests wide.
	maxBanks = 8
	// maxDigest is the longest digest of an algorithm that is not known here.
	maxDigest = 64
)

const (
	// maxRegister is the last PCR of a PC Client TPM.
	maxRegister = 23
	// legacyHead is the length of TCG_PCR_EVENT up to its data.
	legacyHead = 4 + 4 + 20 + 4
)

// specID starts the data of the first event of a crypto-agile log
// (TCG_EfiSpecIDEvent; PFP 1.06, 10.4.5.1).
const specID = "Spec ID Event03\x00"

// Log is a parsed log. It is a stranger's word until [Log.Replay].
type Log struct {
	banks    []string
	events   []Event
	locality byte
}

// Banks returns which banks each event has a digest in.
func (l *Log) Banks() []string { return slices.Clone(l.banks) }

// Events returns the log's entries in order.
func (l *Log) Events() []Event { return slices.Clone(l.events) }

// Parse reads a log in the crypto-agile form, or in the older one with SHA-1
// only (TCG PC Client Platform Firmware Profile 1.06, 10.2). Padding after the
// last event must be all zeros or all ones. The bytes are copied. The error is
// untrusted "bootlog.parse".
func Parse(log []byte) (l *Log, err error) {
	defer guard(&err)
	if len(log) == 0 || len(log) > MaxLog {
		e := status.New(status.Untrusted, "bootlog.parse", "a boot log of %d bytes, want 1 to %d", len(log), MaxLog)
		e.Faults = []status.Fault{{Field: "size", Got: fmt.Sprintf("%d bytes", len(log)), Want: fmt.Sprintf("1 to %d", MaxLog)}}
		return nil, e
	}
	p := &parser{rest: bytes.Clone(log), size: len(log)}
	if err := p.run(); err != nil {
		return nil, status.New(status.Untrusted, "bootlog.parse", "boot log, byte %d: %v", p.at(), err)
	}
	return &Log{banks: p.names(), events: p.events, locality: p.locality}, nil
}

// algorithm is one row of the header's table.
type algorithm struct {
	id   uint16
	size int
	name string
}

type parser struct {
	rest   []byte
	size   int
	algs   []algorithm
	events []Event
	// locality is the initial value of PCR 0: see startup.
	locality byte
	located  bool
	// measured says that PCR 0 was extended.
	measured bool
}

func (p *parser) at() int { return p.size - len(p.rest) }

func (p *parser) names() []string {
	var s []string
	for _, a := range p.algs {
		s = append(s, a.name)
	}
	return s
}

func (p *parser) run() error {
	first, err := p.legacy()
	if err != nil {
		return err
	}
	next := p.legacy
	if first.Type == typeNoAction && bytes.HasPrefix(first.Data, []byte(specID)) {
		if p.algs, err = header(first.Data[len(specID):]); err != nil {
			return err
		}
		next = p.agile
	} else {
		p.algs = []algorithm{{id: 0x0004, size: 20, name: "sha1"}}
		if err := p.add(first); err != nil {
			return err
		}
	}
	for len(p.rest) > 0 && !padding(p.rest) {
		e, err := next()
		if err != nil {
			return err
		}
		if err := p.add(e); err != nil {
			return err
		}
	}
	if len(p.events) == 0 {
		return fmt.Errorf("no events")
	}
	return nil
}

// padding reports whether nothing but the rest of a log area follows. Zeros
// could be read as events without digests and ones as a register that does not
// exist; neither would be a measurement.
func padding(b []byte) bool {
	if b[0] != 0 && b[0] != 0xff {
		return false
	}
	for _, c := range b {
		if c != b[0] {
			return false
		}
	}
	return true
}

func (p *parser) add(e Event) error {
	if len(p.events) == maxEvents {
		return fmt.Errorf("more than %d events", maxEvents)
	}
	e.Index = len(p.events)
	if e.Type == typeNoAction {
		if err := p.startup(e); err != nil {
			return err
		}
	} else {
		if e.Register < 0 || e.Register > maxRegister {
			return fmt.Errorf("event %d is of register %d, want 0 to %d", e.Index, e.Register, maxRegister)
		}
		p.measured = p.measured || e.Register == 0
	}
	p.events = append(p.events, e)
	return nil
}

// startup reads a StartupLocality event (PFP 1.06, 10.4.5.3): the locality of
// TPM2_Startup is what PCR 0 starts with. Nothing covers the event. It is bound
// by PCR 0, which a wrong start cannot reach, and only the values that a TPM
// may have are taken, once and before PCR 0's first measurement, so that no
// later entry changes how an earlier one is read.
func (p *parser) startup(e Event) error {
	const tag = "StartupLocality\x00"
	if !bytes.HasPrefix(e.Data, []byte(tag)) {
		return nil
	}
	if len(e.Data) != len(tag)+1 {
		return fmt.Errorf("event %d: a startup locality of %d bytes, want %d", e.Index, len(e.Data), len(tag)+1)
	}
	v := e.Data[len(tag)]
	switch {
	case p.located:
		return fmt.Errorf("event %d: a second startup locality", e.Index)
	case p.measured:
		return fmt.Errorf("event %d: a startup locality after PCR 0 was extended", e.Index)
	case v != 0 && v != 3 && v != 4:
		return fmt.Errorf("event %d: startup locality %d, want 0, 3 or 4", e.Index, v)
	}
	p.located, p.locality = true, v
	return nil
}

// guard turns a panic over a stranger's bytes into a refusal.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = status.Wrap(fmt.Errorf("panic: %v", r), status.Untrusted, "bootlog.parse", "the boot log cannot be read")
	}
}
