package publisher_test

import (
	"context"
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/verify"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// counters is a Counters; fail is its answer where it is set.
type counters struct {
	seen map[string]verify.Seen
	fail error
}

func (c *counters) ChangeSeen(_ context.Context, of publisher.ProviderID, ak []byte, change func(*verify.Seen) error) error {
	if c.fail != nil {
		return c.fail
	}
	key := string(of) + string(ak)
	s := c.seen[key]
	if err := change(&s); err != nil {
		return err
	}
	if c.seen == nil {
		c.seen = map[string]verify.Seen{}
	}
	c.seen[key] = s
	return nil
}

func tpmResult(ak, epoch string, resets, restarts uint32) *attest.Result {
	return &attest.Result{
		Claims: &attest.Claims{BootEpoch: []byte(epoch)},
		TPM:    &attest.TPMFacts{AKName: []byte(ak), ResetCount: resets, RestartCount: restarts},
	}
}

// TestFollowCounters: what an attestation shows has to come after what the one
// before showed, which a refused one does not change.
func TestFollowCounters(t *testing.T) {
	type look struct {
		of     publisher.ProviderID
		result *attest.Result
		// want is "new", "ok" or "denied".
		want string
	}
	for name, looks := range map[string][]look{
		"same boot":         {{"p", tpmResult("ak", "monday", 3, 0), "new"}, {"p", tpmResult("ak", "monday", 3, 0), "ok"}},
		"reboot":            {{"p", tpmResult("ak", "monday", 3, 0), "new"}, {"p", tpmResult("ak", "tuesday", 4, 0), "ok"}, {"p", tpmResult("ak", "tuesday", 4, 0), "ok"}},
		"new key":           {{"p", tpmResult("ak", "monday", 3, 0), "new"}, {"p", tpmResult("bk", "monday", 1, 0), "new"}},
		"another provider":  {{"p", tpmResult("ak", "monday", 3, 0), "new"}, {"q", tpmResult("ak", "monday", 1, 0), "new"}},
		"put back":          {{"p", tpmResult("ak", "monday", 3, 0), "new"}, {"p", tpmResult("ak", "sunday", 2, 9), "denied"}},
		"restarts put back": {{"p", tpmResult("ak", "monday", 3, 5), "new"}, {"p", tpmResult("ak", "monday", 3, 4), "denied"}},
		"reset in one boot": {{"p", tpmResult("ak", "monday", 3, 0), "new"}, {"p", tpmResult("ak", "monday", 4, 0), "denied"}},
		"refused for good": {
			{"p", tpmResult("ak", "monday", 3, 0), "new"},
			{"p", tpmResult("ak", "sunday", 1, 0), "denied"},
			{"p", tpmResult("ak", "sunday", 2, 0), "denied"},
			{"p", tpmResult("ak", "tuesday", 4, 0), "ok"},
		},
		"no TPM": {{"p", &attest.Result{Claims: &attest.Claims{}}, "new"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.service()
			for i, l := range looks {
				r := *l.result
				must(t, publisher.FollowCounters(s, t.Context(), l.of, &r))
				got := "new"
				if len(r.Checks) == 1 && r.Checks[0].Code == "ATT-095" {
					got = map[bool]string{true: "ok", false: "denied"}[r.Checks[0].OK]
				}
				if got != l.want {
					t.Errorf("look %d: got %s, want %s: %+v", i, got, l.want, r.Checks)
				}
				if v := policy.Builtin().Appraise(&r, w.now()); l.want == "denied" {
					c, _ := v.Failed()
					if v.Affirmed || c.Code != "ATT-095" {
						t.Errorf("look %d: the verdict is %+v", i, v)
					}
				}
			}
		})
	}
}

// TestCountersUnreadable: what cannot be remembered is no verdict.
func TestCountersUnreadable(t *testing.T) {
	w := newWorld(t)
	w.Counters = &counters{fail: status.New(status.InvalidArgument, "state.corrupt", "it is damaged")}
	refused(t, publisher.FollowCounters(w.service(), t.Context(), "p", tpmResult("ak", "monday", 3, 0)), status.InvalidArgument, "state.corrupt")
}
