package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"apocryph/attest"
)

// SNP is what only few reference sets demand of an SEV-SNP guest, beside the
// fields of [ReferenceSet].
type SNP struct {
	// Products are the accepted processor lines, such as Milan; empty means any.
	Products []string
	// HostData are the accepted values of what the host chose at launch, 32 bytes
	// each; empty means any.
	HostData [][]byte
	// MinCommittedTCB and MinLaunchTCB take the place of MinTCB for the firmware
	// that cannot be rolled back any more, and for that at launch.
	MinCommittedTCB, MinLaunchTCB *TCB
	// MinFirmware is the lowest version of the SEV firmware, such as "1.55.21".
	MinFirmware string
	// IDKeys and AuthorKeys are SHA-384 digests of the keys that may have signed
	// the launch (ID block), 48 bytes each; empty demands no signature.
	IDKeys, AuthorKeys [][]byte
	// MinGuestSVN is the lowest version of the guest that the ID block may name.
	MinGuestSVN int
	// Mitigations are bits that both of AMD's mitigation vectors must have.
	Mitigations int
	// Platform are words of [platformDemands].
	Platform []string
	// RequireCRL wants AMD's revocation list beside the report, before its next
	// update. Without it a provider can leave the list out.
	RequireCRL bool
}

// demand is a word of a policy that wants one bit of a report.
type demand struct {
	word, text string
	met        func(*attest.SNPFacts) bool
}

// guestDemands are bits of the policy that the guest was launched with: the
// firmware does not start it where the machine does not comply (56860, table 9).
var guestDemands = []demand{
	{"single_socket", "it runs on one socket", func(f *attest.SNPFacts) bool { return f.GuestPolicy.SingleSocket }},
	{"aes256_xts", "its memory is encrypted with AES-256-XTS", func(f *attest.SNPFacts) bool { return f.GuestPolicy.AES256XTS }},
	{"rapl_off", "power meters are off", func(f *attest.SNPFacts) bool { return f.GuestPolicy.RAPLOff }},
	{"ciphertext_hiding", "the host cannot read its encrypted memory", func(f *attest.SNPFacts) bool { return f.GuestPolicy.CiphertextHiding }},
	{"page_swap_off", "its pages are not swapped out", func(f *attest.SNPFacts) bool { return f.GuestPolicy.PageSwapOff }},
}

// platformDemands are bits of how the machine is set up at the time of the
// report (56860, table 24), and who signed it.
var platformDemands = []demand{
	{"smt_off", "simultaneous multithreading is off", func(f *attest.SNPFacts) bool { return !f.Platform.SMT }},
	{"tsme", "all memory is encrypted", func(f *attest.SNPFacts) bool { return f.Platform.TSME }},
	{"ecc", "memory corrects its errors", func(f *attest.SNPFacts) bool { return f.Platform.ECC }},
	{"rapl_off", "power meters are off", func(f *attest.SNPFacts) bool { return f.Platform.RAPLOff }},
	{"ciphertext_hiding", "the host cannot read encrypted memory", func(f *attest.SNPFacts) bool { return f.Platform.CiphertextHiding }},
	{"alias_check", "no memory was found under two addresses", func(f *attest.SNPFacts) bool { return f.Platform.AliasCheck }},
	{"tio_off", "no devices reach into guests", func(f *attest.SNPFacts) bool { return !f.Platform.TIO }},
	{"vcek", "the chip's own key signed, not a cloud's", func(f *attest.SNPFacts) bool { return f.CSP == "" }},
}

func words(list []demand) []string {
	var s []string
	for _, d := range list {
		s = append(s, d.word)
	}
	return s
}

// unmet are the demanded words that a report does not meet. A word that is not
// known is not met.
func unmet(want []string, known []demand, f *attest.SNPFacts) []string {
	var missing []string
	for _, w := range want {
		i := slices.IndexFunc(known, func(d demand) bool { return d.word == w })
		if i < 0 || !known[i].met(f) {
			missing = append(missing, w)
		}
	}
	return missing
}

// empty reports whether nothing is said of the guest's launch policy.
func (g GuestPolicy) empty() bool { return !g.SMT && !g.CXL && g.MinABI == "" && len(g.Require) == 0 }

// guestPolicy compares the guest's launch policy.
func (a *appraisal) guestPolicy(at string, g GuestPolicy) []attest.Check {
	f := a.r.SNP
	check := func(field, got, want string, ok bool) attest.Check {
		return attest.Check{
			Code: CodeGuestPolicy, Name: "guest policy", Anchor: anchorOf(a.r.Level), Policy: a.p.where(at + ".guest_policy." + field),
			Got: got, Want: want, OK: ok,
		}
	}
	smt := check("smt", "smt "+onOff(f.SMT), "smt off", !f.SMT || g.SMT)
	if g.SMT {
		smt.Want = "smt on or off"
	}
	checks := []attest.Check{smt}
	if f.GuestPolicy.CXLAllowed {
		c := check("cxl", "memory behind CXL allowed", "not allowed", g.CXL)
		if g.CXL {
			c.Want = "allowed or not"
		}
		checks = append(checks, c)
	}
	if g.MinABI != "" {
		got := []int{int(f.GuestPolicy.ABIMajor), int(f.GuestPolicy.ABIMinor)}
		checks = append(checks, check("min_abi", "firmware ABI from "+dotted(got), "from "+g.MinABI, atLeast(got, g.MinABI)))
	}
	if len(g.Require) > 0 {
		checks = append(checks, check("require", missing(unmet(g.Require, guestDemands, f)), strings.Join(g.Require, ", "), len(unmet(g.Require, guestDemands, f)) == 0))
	}
	return checks
}

func missing(list []string) string {
	if len(list) == 0 {
		return "all of it"
	}
	return "no " + strings.Join(list, ", no ")
}

// snpMore compares what [SNP] demands, after the set's own fields.
func (a *appraisal) snpMore(at string, s *SNP) []attest.Check {
	if s == nil {
		return nil
	}
	f := a.r.SNP
	var checks []attest.Check
	add := func(code, name, field, got, want string, ok bool) {
		checks = append(checks, attest.Check{
			Code: code, Name: name, Anchor: anchorOf(a.r.Level), Policy: a.p.where(at + "." + field), Got: got, Want: want, OK: ok,
		})
	}
	list := func(code, name, field string, want [][]byte, got []byte) {
		if len(want) > 0 {
			add(code, name, field, hexOrNothing(got), hexes(want), contains(want, got))
		}
	}
	if len(s.Products) > 0 {
		add(CodePlatform, "product", "products", quote(f.Product), strings.Join(s.Products, " or "), slices.ContainsFunc(s.Products, func(p string) bool { return productLine(p) == productLine(f.Product) }))
	}
	if s.MinFirmware != "" {
		got := []int{int(f.Firmware.Major), int(f.Firmware.Minor), int(f.Firmware.Build)}
		add(CodeTCBFloor, "sev firmware", "min_firmware", dotted(got), "at least "+s.MinFirmware, atLeast(got, s.MinFirmware))
	}
	if s.Mitigations != 0 {
		want := uint64(s.Mitigations)
		have := f.LaunchMitigations & f.CurrentMitigations
		add(CodeTCBFloor, "mitigations", "mitigations", fmt.Sprintf("%#x at launch, %#x now", f.LaunchMitigations, f.CurrentMitigations), fmt.Sprintf("all bits of %#x", want), have&want == want)
	}
	if len(s.Platform) > 0 {
		lacks := unmet(s.Platform, platformDemands, f)
		add(CodePlatformSetup, "platform", "platform", missing(lacks), strings.Join(s.Platform, ", "), len(lacks) == 0)
	}
	if s.RequireCRL {
		got := "none"
		if !f.CRLExpires.IsZero() {
			got = "one until " + stamp(f.CRLExpires)
		}
		add(CodeNoCollateral, "revocation list", "require_crl", got, "AMD's, until after "+stamp(a.now), f.CRLExpires.After(a.now))
	}
	list(CodeHostData, "host data", "host_data", s.HostData, f.HostData)
	list(CodeIDBlock, "id key", "id_keys", s.IDKeys, f.IDKeyDigest)
	list(CodeIDBlock, "author key", "author_keys", s.AuthorKeys, f.AuthorKeyDigest)
	if s.MinGuestSVN > 0 {
		add(CodeIDBlock, "guest version", "min_guest_svn", strconv.FormatUint(uint64(f.GuestSVN), 10), "at least "+strconv.Itoa(s.MinGuestSVN), uint64(f.GuestSVN) >= uint64(s.MinGuestSVN))
	}
	return checks
}

// floors are the lowest versions by the kind of firmware version.
func (s *ReferenceSet) floors() (reported, committed, launch *TCB) {
	reported, committed, launch = s.MinTCB, s.MinTCB, s.MinTCB
	if s.SNP != nil && s.SNP.MinCommittedTCB != nil {
		committed = s.SNP.MinCommittedTCB
	}
	if s.SNP != nil && s.SNP.MinLaunchTCB != nil {
		launch = s.SNP.MinLaunchTCB
	}
	return reported, committed, launch
}

// dotted writes the parts of a version.
func dotted(parts []int) string {
	var s []string
	for _, p := range parts {
		s = append(s, strconv.Itoa(p))
	}
	return strings.Join(s, ".")
}

// versionParts reads a version of n parts, each at most a byte.
func versionParts(s string, n int) ([]int, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != n {
		return nil, false
	}
	var out []int
	for _, p := range parts {
		v, err := strconv.ParseUint(p, 10, 8)
		if err != nil || strconv.FormatUint(v, 10) != p {
			return nil, false
		}
		out = append(out, int(v))
	}
	return out, true
}

// atLeast reports whether got is not lower than a floor of as many parts. A
// floor that is none is never reached.
func atLeast(got []int, floor string) bool {
	want, ok := versionParts(floor, len(got))
	return ok && slices.Compare(got, want) >= 0
}

// fromSNPFacts pins what a report shows of the guest's launch and of a machine
// that is set up well. What the host chooses anew at each launch is left out.
func fromSNPFacts(f *attest.SNPFacts) *SNP {
	s := &SNP{}
	if knownProduct(f.Product) {
		line := productLine(f.Product)
		s.Products = []string{strings.ToUpper(line[:1]) + line[1:]}
	}
	if v := f.Firmware; v != (attest.SNPFirmware{}) {
		s.MinFirmware = dotted([]int{int(v.Major), int(v.Minor), int(v.Build)})
	}
	for _, d := range platformDemands {
		// Off and absent by themselves, these say nothing that was chosen.
		if d.word != "smt_off" && d.word != "tio_off" && d.word != "vcek" && d.met(f) {
			s.Platform = append(s.Platform, d.word)
		}
	}
	s.RequireCRL = !f.CRLExpires.IsZero()
	if len(f.HostData) > 0 && !zero(f.HostData) {
		s.HostData = [][]byte{slices.Clone(f.HostData)}
	}
	if len(f.IDKeyDigest) > 0 && !zero(f.IDKeyDigest) {
		s.IDKeys = [][]byte{slices.Clone(f.IDKeyDigest)}
		s.MinGuestSVN = int(min(f.GuestSVN, maxGuestSVN))
	}
	if len(f.AuthorKeyDigest) > 0 && !zero(f.AuthorKeyDigest) {
		s.AuthorKeys = [][]byte{slices.Clone(f.AuthorKeyDigest)}
	}
	// AMD's vectors have few bits today; higher ones are not pinned.
	s.Mitigations = int(f.LaunchMitigations & f.CurrentMitigations & maxMitigations)
	return s
}

// fromGuestPolicy pins what the guest was launched under.
func fromGuestPolicy(f *attest.SNPFacts) GuestPolicy {
	g := GuestPolicy{SMT: f.SMT, CXL: f.GuestPolicy.CXLAllowed}
	for _, d := range guestDemands {
		if d.met(f) {
			g.Require = append(g.Require, d.word)
		}
	}
	if p := f.GuestPolicy; p.ABIMajor != 0 || p.ABIMinor != 0 {
		g.MinABI = dotted([]int{int(p.ABIMajor), int(p.ABIMinor)})
	}
	return g
}

// Numbers of a policy that fit an integer of every machine.
const (
	maxGuestSVN    = 1<<31 - 1
	maxMitigations = 1<<31 - 1
)
