package publisher

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"

	"apocryph/attest"
)

// Change is one thing that is not as it was.
type Change struct {
	// What is "verdict", "level", "platform", "measurement", "boot_epoch",
	// "tpm_counters", "policy", "state", "revision" or "reachable".
	What string `json:"what"`
	// Was is empty where nothing was known.
	Was string    `json:"was,omitempty"`
	Now string    `json:"now"`
	At  time.Time `json:"at"`
}

// fact is something that a watch compares.
type fact struct{ what, value string }

// factsOf are always the same facts in the same order. pod is nil where it was
// not asked for.
func factsOf(a *Attested, pod *PodStatus) []fact {
	v := a.Verdict
	verdict := "affirmed"
	if c, failed := v.Failed(); failed {
		verdict = fmt.Sprintf("denied: %s %s: got %s, want %s", c.Code, c.Name, orNone(c.Got), orNone(c.Want))
	}
	facts := []fact{
		{"verdict", verdict},
		{"level", string(v.Level)},
		{"platform", v.Platform},
		{"measurement", measurement(a.Result)},
		{"boot_epoch", fmt.Sprintf("%x", a.Result.Claims.BootEpoch)},
		{"tpm_counters", counters(a.Result)},
	}
	if pod != nil {
		state := pod.State
		if pod.Reason != "" {
			state += ": " + pod.Reason
		}
		facts = append(facts, fact{"state", state}, fact{"revision", strconv.FormatUint(pod.Revision, 10)})
	}
	return facts
}

// counters are how often a TPM was reset and resumed, by its own word, unlike
// the boot epoch, which is the provider's; "" without a TPM.
func counters(r *attest.Result) string {
	if r.TPM == nil {
		return ""
	}
	return fmt.Sprintf("reset %d, restart %d", r.TPM.ResetCount, r.TPM.RestartCount)
}

// measurement is one digest over what was measured at launch and boot. What is
// extended later, by pods for one, is not of it: PCR 11, 14 and 15, and RTMR 3.
func measurement(r *attest.Result) string {
	h := sha256.New()
	if f := r.SNP; f != nil {
		put(h, "snp", f.Measurement)
	}
	if f := r.TDX; f != nil {
		put(h, "mrtd", f.MRTD)
		for i, m := range f.RTMRs[:3] {
			put(h, fmt.Sprintf("rtmr%d", i), m)
		}
	}
	if f := r.TPM; f != nil {
		for _, p := range f.PCRs {
			if p.Index != 11 && p.Index != 14 && p.Index != 15 {
				put(h, fmt.Sprintf("%s:%d", p.Bank, p.Index), p.Value)
			}
		}
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

func put(h hash.Hash, name string, value []byte) {
	_, _ = io.WriteString(h, fmt.Sprintf("%s %x\n", name, value))
}
