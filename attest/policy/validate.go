package policy

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"apocryph/attest"
	"apocryph/proto/status"
)

const (
	maxVersion = math.MaxInt32
	// maxVMPL is the least privileged level of a guest (SEV-SNP firmware ABI, 56860).
	maxVMPL = 3
	// maxPCR is the last register of a PC client TPM.
	maxPCR = 23

	measurementSize = 48
	chipIDSize      = 64
)

var (
	setName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	// price bounds its digits, so that a stranger's number cannot be made to cost time.
	price = regexp.MustCompile(`^[0-9]{1,20}(\.[0-9]{1,20})?$`)
	// asset is an ISO 4217 code or a CAIP-19 asset type or id.
	asset = regexp.MustCompile(`^([A-Z]{3}|[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}(/[-.%a-zA-Z0-9]{1,78})?)$`)

	bankSizes = map[string]int{"sha256": 32, "sha384": 48}
)

// validator collects what a policy demands that cannot be or proves nothing.
type validator struct {
	p    *Policy
	list []status.Fault
}

func (v *validator) fault(field, got, want string) {
	v.list = append(v.list, status.Fault{Field: field, Got: got, Want: want, Line: v.p.line(field)})
}

// faults is why the policy cannot be used, nil for none. It holds for a policy
// however it was made, so that one built by a program is held to the same.
func (p *Policy) faults() []status.Fault {
	v := &validator{p: p}
	if p.Version < 1 || p.Version > maxVersion {
		v.fault("version", gotNumber(p.Version), "a whole number from 1, raised with every edit")
	}
	if p.Name != "" && !setName.MatchString(p.Name) {
		v.fault("name", quote(p.Name), "1 to 64 letters, digits, dots, dashes and underscores")
	}
	v.trust()
	v.workload(p.Workload)
	v.provenance(p.Provenance)
	if a := p.Freshness.MaxAge; a <= 0 || a > MaxMaxAge {
		v.fault("freshness.max_age", a.String(), "more than 0s and at most "+short(MaxMaxAge))
	}
	names := map[string]bool{}
	for i := range p.Reference {
		s, at := &p.Reference[i], fmt.Sprintf("reference[%d]", i)
		if !setName.MatchString(s.Name) {
			v.fault(at+".name", quote(s.Name), "1 to 64 letters, digits, dots, dashes and underscores")
		} else if names[s.Name] {
			v.fault(at+".name", quote(s.Name), "a name that no other set has")
		}
		names[s.Name] = true
		v.set(s, at)
	}
	if o := p.Offer; o != nil {
		if !price.MatchString(o.MaxPricePerHour) {
			v.fault("offer.max_price_per_hour", quote(o.MaxPricePerHour), `a decimal number such as "0.10"`)
		}
		if !asset.MatchString(o.Asset) {
			v.fault("offer.asset", quote(o.Asset), "a currency code such as USD, or a CAIP-19 asset")
		}
	}
	return v.list
}

func (v *validator) trust() {
	t := v.p.Trust
	if len(t.Levels) == 0 {
		v.fault("trust.levels", "nothing", "at least one of "+strings.Join(levelNames(), ", "))
	}
	for i, l := range t.Levels {
		at := fmt.Sprintf("trust.levels[%d]", i)
		v.oneOf(at, string(l), levelNames())
		if slices.Contains(t.Levels[:i], l) && slices.Contains(levelNames(), string(l)) {
			v.fault(at, quote(string(l))+" a second time", "each level once")
		}
	}
	v.fingerprints("trust.ek_roots", t.EKRoots)
	v.fingerprints("dev.soft_ca", v.p.Dev.SoftCA)
	if v.p.accepts(attest.LevelSoft) && len(v.p.Dev.SoftCA) == 0 {
		v.fault("dev.soft_ca", "nothing", "the fingerprint of the development CA, since trust.levels accepts soft")
	}
}

func (v *validator) fingerprints(field string, list [][32]byte) {
	for i, f := range list {
		if f == [32]byte{} {
			v.fault(fmt.Sprintf("%s[%d]", field, i), "all zeros", "a fingerprint")
		}
	}
}

// line is where the field, or the nearest field around it, is in the file.
func (p *Policy) line(field string) int {
	for field != "" {
		if l, ok := p.lines[field]; ok {
			return l
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return 0
}

// where names a demand in a check.
func (p *Policy) where(field string) string {
	switch l := p.line(field); {
	case p.builtin:
		return "built-in policy: " + field
	case l > 0:
		return fmt.Sprintf("policy line %d: %s", l, field)
	}
	return "policy: " + field
}

func levelNames() []string {
	var names []string
	for _, lt := range levelTypes {
		names = append(names, string(lt.level))
	}
	return names
}

func gotNumber(n int) string {
	if n == 0 {
		return "nothing"
	}
	return strconv.Itoa(n)
}

// amount reads a decimal number that [price] allows.
func amount(s string) (*big.Rat, bool) {
	if !price.MatchString(s) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}
