package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// TCB are security versions of AMD's firmware, each compared by itself.
type TCB struct {
	// FMC exists on Turin and later only.
	FMC, Bootloader, TEE, SNP, Microcode uint8
}

// unpackTCB reads AMD's packed form. Turin moved the fields (SEV-SNP firmware
// ABI specification 56860, TCB_VERSION): FMC took the lowest byte.
func unpackTCB(product string, packed uint64) TCB {
	at := func(n int) uint8 { return uint8(packed >> (8 * n)) }
	if isTurin(product) {
		return TCB{FMC: at(0), Bootloader: at(1), TEE: at(2), SNP: at(3), Microcode: at(7)}
	}
	return TCB{Bootloader: at(0), TEE: at(1), SNP: at(6), Microcode: at(7)}
}

// knownProduct reports whether the layout of the packed form is known for product.
func knownProduct(product string) bool {
	line := productLine(product)
	return line == "milan" || line == "genoa" || line == "turin"
}

func isTurin(product string) bool { return productLine(product) == "turin" }

// productLine drops the stepping: Milan-B1 is milan.
func productLine(product string) string {
	line, _, _ := strings.Cut(strings.ToLower(product), "-")
	return line
}

// below names the parts of t that are lower than those of floor.
func (t TCB) below(floor TCB) []string {
	var low []string
	for i, part := range t.parts() {
		if want := floor.parts()[i].value; part.value < want {
			low = append(low, fmt.Sprintf("%s %d (want %d)", part.name, part.value, want))
		}
	}
	return low
}

type tcbPart struct {
	name  string
	value uint8
}

func (t TCB) parts() [5]tcbPart {
	return [5]tcbPart{
		{"fmc", t.FMC},
		{"bootloader", t.Bootloader},
		{"tee", t.TEE},
		{"snp", t.SNP},
		{"microcode", t.Microcode},
	}
}

// min is the lower of each part.
func (t TCB) min(o TCB) TCB {
	return TCB{
		FMC:        min(t.FMC, o.FMC),
		Bootloader: min(t.Bootloader, o.Bootloader),
		TEE:        min(t.TEE, o.TEE),
		SNP:        min(t.SNP, o.SNP),
		Microcode:  min(t.Microcode, o.Microcode),
	}
}

// String is in the form of a policy file.
func (t TCB) String() string {
	b := []byte("{")
	for _, part := range t.parts() {
		if part.name == "fmc" && part.value == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ", "...)
		}
		b = append(append(b, part.name...), ": "...)
		b = strconv.AppendUint(b, uint64(part.value), 10)
	}
	return string(append(b, '}'))
}
