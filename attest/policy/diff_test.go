package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/policy"
)

func TestDiff(t *testing.T) {
	base := parse(t, snpPolicy)
	moved := edit(t, edit(t, snpPolicy, "version: 3", "# a comment\nversion: 3"), "storage: {protected: true}\n", "")
	for name, c := range map[string]struct {
		before, after *policy.Policy
		want          []string
	}{
		"the same":    {base, parse(t, snpPolicy), nil},
		"by comments": {parse(t, "# one\n"+snpPolicy), base, nil},
		"from nothing": {nil, parse(t, identityPolicy), []string{
			"- no policy: everything is denied",
			"+ this is version 1 of the policy",
			"+ evidence of level tpm2-identity is accepted: not a TEE, a TPM that proves which machine it is",
			"+ evidence of any other level is refused, and so are guests that can be debugged or migrated",
			"+ a verdict holds for at most 10m",
			"+ set server makes a machine with tpm2 evidence acceptable",
			"+ set server: the TPM's endorsement key is sha256:" + hex64(0xe1),
			"+ set server: any software may have booted",
			"+ an offer may cost anything",
			"+ data at rest may be readable to the owner of the disk",
		}},
		"a demand less": {base, parse(t, moved), []string{
			"- data at rest must be encrypted or in memory; the provider's own software says so, in its claims",
			"+ data at rest may be readable to the owner of the disk",
		}},
		"a lower floor": {base, parse(t, edit(t, edit(t, snpPolicy, "version: 3", "version: 4"), "snp: 23", "snp: 22")), []string{
			"- this is version 3 of the policy",
			"- set milan: reported, committed and launch firmware are each at least {bootloader: 4, tee: 1, snp: 23, microcode: 213}",
			"+ this is version 4 of the policy",
			"+ set milan: reported, committed and launch firmware are each at least {bootloader: 4, tee: 1, snp: 22, microcode: 213}",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, policy.Diff(c.before, c.after)); d != "" {
				t.Error(d)
			}
		})
	}
	// The order of sets says nothing.
	two := strings.Replace(identityPolicy, "reference:\n", "reference:\n  - {name: spare, tee: tpm2, ek: [\"sha256:"+hex64(0xe2)+"\"]}\n", 1)
	swapped := identityPolicy + "  - {name: spare, tee: tpm2, ek: [\"sha256:" + hex64(0xe2) + "\"]}\n"
	if d := policy.Diff(parse(t, two), parse(t, swapped)); len(d) > 0 {
		t.Errorf("got %q", d)
	}
	if d := policy.Diff(parse(t, identityPolicy), parse(t, two)); len(d) != 3 {
		t.Errorf("got %q", d)
	}
}
