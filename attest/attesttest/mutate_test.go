package attesttest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/attesttest"
)

// TestFlipEveryBit: a mutator that changes nothing, or the original, would make
// every test that uses it worthless.
func TestFlipEveryBit(t *testing.T) {
	fresh := func() attest.Evidence {
		return attest.Evidence{
			Type: attest.TPM2, Report: []byte{1, 2}, Certificates: [][]byte{{3}, {4}},
			TPM: &attest.TPMQuote{Quoted: []byte{5}, Signature: []byte{6}, ActivationProof: []byte{7}, PCRs: []attest.PCR{{Bank: "sha256", Value: []byte{8}}}},
		}
	}
	e, n := fresh(), 0
	for stride, want := range map[int]int{1: 4*8 + 2*8 + 2*9 + 3*8 + 8 + 32 + 2, 8: 4*8 + 2 + 2*2 + 3 + 1 + 32 + 2} {
		n = 0
		attesttest.FlipEveryBit(t, e, stride, func(what string, mutated attest.Evidence) {
			n++
			if cmp.Equal(mutated, e) {
				t.Errorf("%s: nothing changed", what)
			}
		})
		if n != want {
			t.Errorf("stride %d: got %d mutations, want %d", stride, n, want)
		}
	}
	if diff := cmp.Diff(fresh(), e); diff != "" {
		t.Errorf("the original changed: %s", diff)
	}
}
