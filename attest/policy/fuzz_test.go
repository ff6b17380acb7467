package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"apocryph/attest/policy"
	"apocryph/proto/status"
)

func TestParseCaps(t *testing.T) {
	if _, err := policy.Parse([]byte(softPolicy + strings.Repeat("#", policy.MaxSize))); status.ReasonOf(err) != policy.ReasonTooLarge {
		t.Errorf("got %v", err)
	}
	room := policy.MaxSize - len(softPolicy)
	if _, err := policy.Parse([]byte(softPolicy + strings.Repeat("#", room))); err != nil {
		t.Errorf("the largest policy: %v", err)
	}
	var e *status.Error
	_, err := policy.Parse([]byte(softPolicy + strings.Repeat("? [x]\n: y\n", 1000)))
	if !errors.As(err, &e) || len(e.Faults) != 50 {
		t.Errorf("%d faults are listed, want 50", len(e.Faults))
	}
	// Each level of aliases would multiply the tree by ten.
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
	}
	if _, err := policy.Parse([]byte(bomb)); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if _, err := policy.Parse([]byte(strings.Repeat("[", 100_000))); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		snpPolicy, softPolicy, tpmPolicy, identityPolicy, fullSNP, fullTDX, fullTPM, provenancePolicy, "", "a: [", "version: 1\n<<: {}\n", "&a [*a]", "? {a: b}\n: c", "\xff\xfe",
		string(policy.Builtin().Marshal()), "reference: [{pcrs: {values: {4: [00]}}}]", "--- a\n--- b\n", "!!map {version: !!int 1}", "version: 1\ntrust: {levels: [sev-snp]}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse(data)
		if err != nil {
			var e *status.Error
			if p != nil || !errors.As(err, &e) || e.Code != status.InvalidArgument || len(e.Faults) > 50 {
				t.Fatalf("got %v, %v", p, err)
			}
			return
		}
		if v := p.Appraise(nil, now); v.Affirmed {
			t.Error("nothing is affirmed")
		}
		again, err := policy.Parse(p.Marshal())
		if err != nil {
			t.Fatalf("%v in\n%s", err, p.Marshal())
		}
		if d := cmp.Diff(p, again, ignoreLines, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
		if p.Digest() != again.Digest() {
			t.Error("the digest changed")
		}
		policy.Lint(p)
		policy.Explain(p)
	})
}
