package client

import (
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/attest/podlog"
)

// WarnEarlier begins the warning about a build that the log of this boot does not
// have: it is known by the word of the provider's software alone, which kept the
// statement since.
const WarnEarlier = "not in the log of this boot"

// logged looks for the builds in the measured log. What is shown of the log must
// replay to what the evidence attests, and say the same as the statement. A build
// that is not opened there is no fault: a log begins anew with each boot.
func (v *Verifier) logged(r *Report, shown *attest.EndpointLog) bool {
	if len(r.Builds) == 0 {
		return true
	}
	if shown != nil && !v.replayed(r, *shown) {
		return false
	}
	for _, b := range r.Builds {
		if b.Logged.IsZero() {
			r.warn(WarnEarlier + ": build " + b.ID + ", of " + stamp(b.Finished) + "; that it took place is the word of the attested software, which has kept the statement")
		}
	}
	return true
}

// replayed finds the events of builds in a log that holds.
func (v *Verifier) replayed(r *Report, shown attest.EndpointLog) bool {
	fault := func(got, want string) bool {
		return r.check(attest.Check{Code: codeLogged, Name: "builds in the pod log", Anchor: r.asserted(), Got: got, Want: want})
	}
	records, err := podlog.DecodeList(shown.Records)
	if err != nil {
		return fault(detail(err), "a list of records")
	}
	openings := map[uint64]podlog.Opening{}
	for seq, raw := range shown.Openings {
		if openings[seq], err = podlog.DecodeOpening(raw); err != nil {
			return fault(detail(err), "the opening of a record")
		}
	}
	checks, entries := podlog.Appraise(r.Result, podlog.Shown{Records: records, Openings: openings}, podlog.Expected{
		Init: podlog.Started(r.Result), Rules: podlog.Rules{Restarts: podlog.MaxRecords},
	})
	for _, c := range checks {
		if !r.check(c) {
			return false
		}
	}
	anchor := checks[0].Anchor
	for _, e := range entries {
		if e.Event == nil {
			continue
		}
		done, ok := e.Event.(*podlog.BuildDone)
		if !ok {
			return fault("an event "+string(e.Record.Type), "events "+string(podlog.TypeBuildDone)+" alone")
		}
		c, at := r.matches(done)
		c.Anchor = anchor
		if !r.check(c) {
			return false
		}
		if at >= 0 {
			r.Builds[at].Logged, r.Builds[at].Record = done.At, e.Record.Seq
		}
	}
	return true
}

// matches holds an event against the statement about the same build.
func (r *Report) matches(done *podlog.BuildDone) (c attest.Check, at int) {
	c = attest.Check{Code: codeLogged, Name: "build-done in the pod log", Got: fmt.Sprintf("build %.64q", done.PodID), Want: "a build that a statement is about"}
	for i, b := range r.Builds {
		if b.ID != done.PodID {
			continue
		}
		c.Got = fmt.Sprintf("statement %s of image %s, at %s", done.Provenance, done.ImageID, done.At.UTC().Format(time.RFC3339))
		c.Want = fmt.Sprintf("statement %s of image %s", b.Statement, b.ImageID)
		if done.Provenance.String() == b.Statement && done.ImageID.String() == b.ImageID {
			c.OK, c.Want = true, ""
			return c, i
		}
		return c, -1
	}
	return c, -1
}
