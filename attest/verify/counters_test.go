package verify_test

import (
	"testing"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

func TestFollows(t *testing.T) {
	key := func(b byte) []byte { return []byte{b, 1, 2, 3} }
	result := func(reset, restart uint32, epoch string) *attest.Result {
		return &attest.Result{
			Claims: &attest.Claims{BootEpoch: []byte(epoch)},
			TPM:    &attest.TPMFacts{AKName: key(1), ResetCount: reset, RestartCount: restart},
			Checks: []attest.Check{{OK: true, Anchor: attest.AnchorVTPMCA}},
		}
	}
	last := verify.Seen{AKName: key(1), BootEpoch: []byte("monday"), ResetCount: 7, RestartCount: 3}
	for name, tt := range map[string]struct {
		r    *attest.Result
		fail bool
	}{
		"the same":                  {result(7, 3, "monday"), false},
		"a restart":                 {result(7, 4, "monday"), false},
		"a reset":                   {result(8, 0, "tuesday"), false},
		"many resets":               {result(1<<32-1, 0, "tuesday"), false},
		"another kernel":            {result(7, 3, "tuesday"), false},
		"a reset less":              {result(6, 3, "monday"), true},
		"a reset less, more starts": {result(6, 9, "tuesday"), true},
		"none":                      {result(0, 0, "tuesday"), true},
		"a restart less":            {result(7, 2, "monday"), true},
		"reset under one boot":      {result(8, 0, "monday"), true},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := last.Follows(tt.r)
			if c.Code != "ATT-095" || c.OK == tt.fail || c.Anchor != attest.AnchorVTPMCA || c.Got == "" {
				t.Errorf("got %+v", c)
			}
			switch {
			case !tt.fail && err != nil:
				t.Error(err)
			case tt.fail && (status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != "attest.reset_count"):
				t.Errorf("got %v", err)
			}
		})
	}
	// An epoch that nobody named is not the same boot.
	unnamed := last
	unnamed.BootEpoch = nil
	if _, err := unnamed.Follows(result(8, 0, "")); err != nil {
		t.Error(err)
	}
	other := result(9, 9, "")
	other.TPM.AKName = key(2)
	for name, tt := range map[string]struct {
		last verify.Seen
		r    *attest.Result
	}{
		"another key": {last, other}, "no result": {last, nil}, "no TPM": {last, &attest.Result{Claims: &attest.Claims{}}},
		"a refused result": {last, &attest.Result{}}, "nothing seen": {verify.Seen{}, result(9, 9, "")},
	} {
		if c, err := tt.last.Follows(tt.r); status.CodeOf(err) != status.InvalidArgument || c.OK {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
	}
	if _, ok := verify.Saw(&attest.Result{}); ok {
		t.Error("a refusal shows counters")
	}
}

// TestFollowsATPM: a machine that is switched off and on, and then one whose
// state is from before.
func TestFollowsATPM(t *testing.T) {
	m := attesttest.SWTPM(t)
	p := newProver(t, m)
	see := func(epoch string) *attest.Result {
		r, err := p.round(t, func(c *attest.Claims) { c.BootEpoch = []byte(epoch) }).verify()
		check(t, err)
		return r
	}
	first := see("monday")
	before, ok := verify.Saw(first)
	if !ok {
		t.Fatal("nothing was seen")
	}
	m.Restart(t)
	second := see("tuesday")
	_, err := before.Follows(second)
	check(t, err)
	after, _ := verify.Saw(second)
	if _, err := after.Follows(first); status.ReasonOf(err) != "attest.reset_count" {
		t.Errorf("got %v", err)
	}
	// Reset under software that goes on as if nothing had been.
	m.Restart(t)
	if _, err := after.Follows(see("tuesday")); status.ReasonOf(err) != "attest.reset_count" {
		t.Errorf("got %v", err)
	}
	// Before the TPM goes, which was started after the device was opened.
	check(t, p.Close())
}
