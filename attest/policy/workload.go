package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"apocryph/attest"
)

// Workload is what a verifier demands of the log of pods. A provider that does
// not show its log does not pass any of it.
type Workload struct {
	// Registers are where the log may be anchored: pcr14, rtmr3 or none; empty
	// means anywhere.
	Registers []string
	// RequiredEvents are kinds of events that must have happened in this boot,
	// such as ready.
	RequiredEvents []string
	// Forbid are ways into the machine that must not be open, such as ssh, and
	// kinds of events that must not have happened, such as exec-attempt.
	Forbid []string
}

// Transparency is a demand on the provider's transparency log.
type Transparency struct {
	// RequireInclusion wants the claims of the evidence to be an entry of it.
	RequireInclusion bool
}

var (
	logRegisters = []string{"pcr14", "rtmr3", "none"}
	// logEvents are the kinds of package podlog.
	logEvents = []string{
		"agent-start", "config", "ready", "pod-create", "image-exec", "key-release", "pod-start", "pod-stop", "build-done", "exec-attempt",
	}
	accessPath = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
)

// WantsPodLog reports whether a verifier must ask for the log of pods: without
// it no evidence passes.
func (p *Policy) WantsPodLog() bool { return p != nil && p.Workload != nil }

// WantsInclusion reports whether a verifier must ask for a proof that the
// evidence is in the provider's transparency log.
func (p *Policy) WantsInclusion() bool { return p != nil && p.Transparency.RequireInclusion }

// Own is the policy without what only others can be shown: a provider that
// appraises itself has written both of its logs.
func (p *Policy) Own() *Policy {
	if p == nil {
		return nil
	}
	own := *p
	own.Workload, own.Transparency = nil, Transparency{}
	return &own
}

// logAnchor is what makes a log believable: the register, which only what the
// device vouches for extends, or the software that names its head in the claims.
func (a *appraisal) logAnchor(register string) attest.Anchor {
	if register == "none" {
		return attest.AnchorAgentAsserted
	}
	if register == "pcr14" {
		return a.quoteAnchor()
	}
	return anchorOf(a.r.Level)
}

func (a *appraisal) workload() bool {
	w := a.p.Workload
	if w == nil {
		return true
	}
	f := a.r.PodLog
	c := attest.Check{
		Code: CodePodLog, Name: "log of pods", Anchor: anchorOf(a.r.Level), Policy: a.p.where("workload"),
		Got: "none that was replayed", Want: "one", OK: f != nil,
	}
	if f == nil {
		return a.check(c)
	}
	c.Anchor = a.logAnchor(f.Register)
	c.Got = fmt.Sprintf("%d records, in register %s", f.Length, printable(f.Register))
	if len(w.Registers) > 0 {
		c.Want, c.Policy = strings.Join(w.Registers, " or "), a.p.where("workload.registers")
		c.OK = slices.Contains(w.Registers, f.Register)
	}
	if !a.check(c) {
		return false
	}
	for i, kind := range w.RequiredEvents {
		ok := a.check(attest.Check{
			Code: CodeEvent, Name: "event " + kind, Anchor: c.Anchor, Policy: a.p.where(fmt.Sprintf("workload.required_events[%d]", i)),
			Got: fmt.Sprintf("%d times", f.Events[kind]), Want: "at least once", OK: f.Events[kind] > 0,
		})
		if !ok {
			return false
		}
	}
	for i, name := range w.Forbid {
		open := slices.Contains(f.AccessPaths, name)
		got := "not open"
		if open {
			got = "open"
		}
		if n := f.Events[name]; n > 0 {
			got, open = fmt.Sprintf("%d times", n), true
		}
		ok := a.check(attest.Check{
			Code: CodeAccessPath, Name: name, Anchor: c.Anchor, Policy: a.p.where(fmt.Sprintf("workload.forbid[%d]", i)),
			Got: got, Want: "never", OK: !open,
		})
		if !ok {
			return false
		}
	}
	return true
}

func (a *appraisal) inclusion() bool {
	if !a.p.Transparency.RequireInclusion {
		return true
	}
	c := attest.Check{
		Code: CodeInclusion, Name: "transparency log", Anchor: attest.AnchorAgentAsserted, Policy: a.p.where("transparency.require_inclusion"),
		Got: "no proof", Want: "this evidence in it",
	}
	if t := a.r.Transparency; t != nil {
		c.Got, c.OK = fmt.Sprintf("not among %d entries", t.Size), t.Included
		if t.Included {
			c.Got = fmt.Sprintf("one of %d entries", t.Size)
		}
	}
	return a.check(c)
}

func (d *decoder) workload(n *yaml.Node) *Workload {
	f := d.mapping(n, "workload", "registers", "required_events", "forbid")
	return &Workload{
		Registers:      d.texts(f["registers"], "workload.registers"),
		RequiredEvents: d.texts(f["required_events"], "workload.required_events"),
		Forbid:         d.texts(f["forbid"], "workload.forbid"),
	}
}

func (v *validator) workload(w *Workload) {
	if w == nil {
		return
	}
	if len(w.Registers)+len(w.RequiredEvents)+len(w.Forbid) == 0 {
		v.fault("workload", "nothing", "registers, required_events or forbid")
	}
	v.words("workload.registers", w.Registers, logRegisters)
	v.words("workload.required_events", w.RequiredEvents, logEvents)
	for i, name := range w.Forbid {
		if at := fmt.Sprintf("workload.forbid[%d]", i); !accessPath.MatchString(name) {
			v.fault(at, quote(name), "1 to 32 lower-case letters, digits and dashes, such as ssh or exec-attempt")
		}
		if slices.Contains(w.RequiredEvents, name) {
			v.fault(fmt.Sprintf("workload.forbid[%d]", i), name+", which required_events demands", "one of the two")
		}
	}
}

func (w *writer) workload(k *Workload) {
	if k == nil {
		return
	}
	w.comment("What the provider's log of pods must and must not have.")
	w.line(0, "workload:")
	for _, l := range []struct {
		name string
		list []string
	}{{"registers", k.Registers}, {"required_events", k.RequiredEvents}, {"forbid", k.Forbid}} {
		if len(l.list) > 0 {
			w.line(1, "%s: [%s]", l.name, strings.Join(l.list, ", "))
		}
	}
}

func (w *Workload) explain(say func(field, format string, args ...any)) {
	if w == nil {
		return
	}
	if len(w.Registers) > 0 {
		say("workload.registers", "the log of pods must be anchored in %s", strings.Join(w.Registers, " or "))
	}
	if len(w.RequiredEvents) > 0 {
		say("workload.required_events", "in the log of pods there must be: %s", strings.Join(w.RequiredEvents, ", "))
	}
	if len(w.Forbid) > 0 {
		say("workload.forbid", "by the log of pods these ways into the machine were never open or used: %s", strings.Join(w.Forbid, ", "))
	}
}
