package policy

import (
	"testing"

	"apocryph/attest"
)

func TestPanicDenies(t *testing.T) {
	a := &appraisal{}
	if a.guarded(func() bool { a.check(attest.Check{Code: "x", OK: true}); panic("defect") }) {
		t.Error("a panic counts as the end of an appraisal")
	}
	if c, failed := a.v.Failed(); !failed || c.Code != CodeInternal || len(a.v.Checks) != 2 {
		t.Errorf("got %+v", a.v.Checks)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"measurement", "tee", "trust", "min_tcb"}
	for s, want := range map[string]string{
		"mesurement": "measurement", "measurements": "measurement", "te": "tee", "turst": "trust", "trusty": "trust", "trts": "trust", "rtsut": "", "trusts": "trust", "min-tcb": "min_tcb",
		"": "", "x": "", "xyz": "", "completely": "", string(make([]byte, 100)): "",
	} {
		if got := nearest(s, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestTCBLayouts(t *testing.T) {
	const packed = 0xd5_17_00_00_04_03_02_01
	for product, want := range map[string]TCB{
		"Milan":    {Bootloader: 1, TEE: 2, SNP: 0x17, Microcode: 0xd5},
		"Genoa-B1": {Bootloader: 1, TEE: 2, SNP: 0x17, Microcode: 0xd5},
		"Turin":    {FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 0xd5},
		"turin-b0": {FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 0xd5},
	} {
		if got := unpackTCB(product, packed); got != want {
			t.Errorf("%s: got %+v, want %+v", product, got, want)
		}
		if !knownProduct(product) {
			t.Errorf("%s is not known", product)
		}
	}
	for _, product := range []string{"", "Rome", "Milano", "-Milan"} {
		if knownProduct(product) {
			t.Errorf("%q is known", product)
		}
	}
}

// TestNothingIsNoValue keeps an empty expectation from meeting an empty fact,
// whatever validation let through.
func TestNothingIsNoValue(t *testing.T) {
	for _, list := range [][][]byte{nil, {nil}, {{}}} {
		if contains(list, nil) || contains(list, []byte{}) {
			t.Errorf("%v contains nothing", list)
		}
	}
}
