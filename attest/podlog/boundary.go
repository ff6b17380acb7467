package podlog

import (
	"fmt"

	"apocryph/proto/status"
)

// Rules are what a verifier demands of the order of events.
type Rules struct {
	// Required are kinds of events that must have happened, anywhere.
	Required []Type
	// Restarts is how often the provider's software may have begun again in this
	// boot. Each time it has to be set up again: a config and a ready. At 0 there
	// is exactly one agent-start and one ready.
	Restarts int
}

// Boundary checks that setting up came before serving. The records of a log are
// added in order, in one go or page by page; the zero value is ready for use and
// has strict rules.
//
//	agent-start  first, and once; with [Rules.Restarts] more often
//	config       only between agent-start and ready, and at least one there
//	ready        once for each agent-start
//	all others   only after ready
//
// So whatever ran for a tenant ran under a configuration that was complete and
// measured before. A log that is not ready yet, or that is set up again at this
// moment, does not pass.
type Boundary struct {
	Rules Rules

	next               uint64
	phase              phase
	configured         bool
	restarts           int
	seen               [len(kinds) + 1]bool
	order, dup, gap, f faults
}

type phase uint8

const (
	phaseNone phase = iota
	phaseSetup
	phaseServing
)

// Add looks at the next records.
func (b *Boundary) Add(records ...Record) {
	for _, r := range records {
		b.sequence(r)
		b.step(r)
		b.seen[kind(r.Type)] = true
	}
}

func (b *Boundary) sequence(r Record) {
	field := fmt.Sprintf("records[%d].seq", b.next)
	switch {
	case r.Seq < b.next:
		b.dup.add(field, fmt.Sprint(r.Seq), fmt.Sprint(b.next))
		return
	case r.Seq > b.next:
		b.gap.add(field, fmt.Sprint(r.Seq), fmt.Sprint(b.next))
	}
	b.next = r.Seq + 1
}

func (b *Boundary) step(r Record) {
	field := fmt.Sprintf("records[%d].type", r.Seq)
	if b.phase == phaseNone && r.Type != TypeAgentStart {
		b.order.add(field, fmt.Sprintf("%.32q", string(r.Type)), "agent-start first")
		// What follows is judged as if it had been there.
		b.phase = phaseSetup
	}
	switch r.Type {
	case TypeAgentStart:
		if b.phase != phaseNone {
			if b.restarts++; b.restarts > b.Rules.Restarts {
				b.order.add(field, "agent-start again", fmt.Sprintf("at most %d restarts in one boot", b.Rules.Restarts))
			}
		}
		b.phase, b.configured = phaseSetup, false
	case TypeConfig:
		if b.phase == phaseServing {
			b.order.add(field, "config after ready", "none")
		}
		b.configured = true
	case TypeReady:
		if b.phase == phaseServing {
			b.order.add(field, "ready again", "one for each agent-start")
		} else if !b.configured {
			b.f.add(field, "ready without a config", "a config before")
		}
		b.phase = phaseServing
	default:
		switch {
		case !r.Type.Known():
			b.order.add(field, fmt.Sprintf("%.32q", string(r.Type)), "a type of this version")
		case b.phase == phaseSetup:
			b.order.add(field, string(r.Type)+" before ready", "ready first")
		}
	}
}

// Check judges what was added so far. All faults come at once; the reason is
// that of the gravest: "podlog.duplicate", "podlog.gap", "podlog.boundary",
// "podlog.missing", all of them untrusted.
func (b *Boundary) Check() error {
	order, missing := append(faults(nil), b.order...), append(faults(nil), b.f...)
	switch {
	case b.phase == phaseNone:
		order.add("records", "none", "agent-start first")
	case b.phase == phaseSetup:
		order.add("records", fmt.Sprintf("no ready up to record %d", b.next-1), "one ready")
	}
	for _, t := range b.Rules.Required {
		if k := kind(t); k == 0 || !b.seen[k] {
			missing.add("required", "no "+string(t), "at least one")
		}
	}
	var all []status.Fault
	reason := ""
	for _, x := range []struct {
		reason string
		list   faults
	}{{reasonDuplicate, b.dup}, {reasonGap, b.gap}, {reasonBoundary, order}, {reasonMissing, missing}} {
		if len(x.list) > 0 && reason == "" {
			reason = x.reason
		}
		all = append(all, x.list...)
	}
	if reason == "" {
		return nil
	}
	return untrusted(reason, "the events of the pod log are not in order", all)
}

// CheckBoundary is a [Boundary] over a whole log.
func CheckBoundary(records []Record, rules Rules) error {
	b := Boundary{Rules: rules}
	b.Add(records...)
	return b.Check()
}
