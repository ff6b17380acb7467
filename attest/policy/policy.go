package policy

import (
	"crypto/sha256"
	"slices"
	"time"

	"apocryph/attest"
)

// DefaultMaxAge is the age of evidence where a policy names none.
const DefaultMaxAge = 10 * time.Minute

// MaxMaxAge bounds the age that a policy may allow: a verdict on evidence that
// is older than this says nothing about a machine that may have rebooted since.
const MaxMaxAge = 24 * time.Hour

// Policy is what a verifier demands. The zero value denies everything. Make
// one with [Parse], [Builtin] or [FromResult]. It may be used from several
// goroutines as long as nobody changes it.
type Policy struct {
	// Version grows with every edit of the file; at least 1.
	Version int
	// Name tells policies of one home apart, each with versions of its own; may be
	// empty.
	Name string
	// Unverified marks reference values that were copied from the provider.
	Unverified bool
	Trust      Trust
	Freshness  Freshness
	// Reference is matched by any one set, in full. Without one nothing passes.
	Reference []ReferenceSet
	// Offer is nil where any price is accepted.
	Offer   *Offer
	Storage Storage
	// Workload is nil where nothing is demanded of the log of pods.
	Workload     *Workload
	Transparency Transparency
	// Provenance is nil where nothing is demanded of how images were built.
	Provenance *Provenance
	Dev        Dev

	// lines has the line in the file of each field that was read, by path.
	lines   map[string]int
	builtin bool
	// judged is nil unless [Parse] made the policy.
	judged *judged
}

// Trust says which evidence is accepted at all.
type Trust struct {
	// Levels are the accepted ones; none implies another.
	Levels []attest.Level
	// EKRoots are SHA-256 fingerprints of the certificates in which the chain
	// of a TPM's endorsement key may end.
	EKRoots [][32]byte
}

// Freshness bounds the age of evidence.
type Freshness struct {
	// MaxAge is how long a verdict holds after the challenge was answered.
	MaxAge time.Duration
}

// ReferenceSet is one acceptable machine or kind of machine. All of its
// demands hold together.
type ReferenceSet struct {
	// Name is for people; letters, digits, dot, dash and underscore.
	Name string
	// TEE is sev-snp, tdx, soft or tpm2.
	TEE attest.Type

	// Measurement are the accepted launch measurements, 48 bytes each (sev-snp, soft).
	Measurement [][]byte
	// ChipIDs are the accepted chips; empty means any (sev-snp, soft).
	ChipIDs [][]byte
	// MinTCB is the lowest firmware accepted, nil for any (sev-snp, soft).
	MinTCB *TCB
	// GuestPolicy limits the guest's launch policy (sev-snp, soft).
	GuestPolicy GuestPolicy
	// VMPL is the privilege level that the report must come from, 0 to 3 (sev-snp, soft).
	VMPL int
	// SNP has rarer demands; nil for none (sev-snp, soft).
	SNP *SNP

	// PCRs are the boot measurements of a TPM, in the other kinds of the one that the
	// report names; nil demands none and, of a TPM alone, proves only an identity.
	PCRs *PCRs
	// EK are the accepted machines: SHA-256 of the endorsement key's
	// SubjectPublicKeyInfo; empty means any under an EK root (tpm2).
	EK [][32]byte
	// AKs are the names of the accepted attestation keys, [AKNameSize] bytes each;
	// empty means any of the machine's. In a set of another kind than tpm2 it is the
	// key of the TPM that the report names. See [Policy.AKNames].
	AKs [][]byte

	// Boot is what the boot's event log must prove: the TD's own in a set for tdx, a
	// TPM's elsewhere; nil demands nothing.
	Boot *Boot

	// TDX has what only a set for tdx demands; nil in all others.
	TDX *TDX
}

// GuestPolicy limits the policy that a guest was launched with. Debugging and
// migration are never accepted, so there is no field for them.
type GuestPolicy struct {
	// SMT allows simultaneous multithreading, whose caches are a side channel.
	SMT bool
	// CXL allows memory behind a CXL link, outside the processor's package.
	CXL bool
	// MinABI is the lowest firmware interface that the guest may have been content
	// with, such as "1.55".
	MinABI string
	// Require are words of [guestDemands].
	Require []string
}

// PCRs are acceptable values of platform configuration registers.
type PCRs struct {
	// Bank is sha256 or sha384.
	Bank string
	// Values are the accepted ones of each register.
	Values map[uint32][][]byte
}

// Offer limits what a provider may ask.
type Offer struct {
	// MaxPricePerHour is a decimal number such as "0.10".
	MaxPricePerHour string
	// Asset is an ISO 4217 code or a CAIP-19 asset, compared as it is written.
	Asset string
}

// Storage is a demand on data at rest.
type Storage struct {
	// Protected wants file systems that the disk's owner cannot read.
	Protected bool
}

// Dev names what is trusted for development only.
type Dev struct {
	// SoftCA are SHA-256 fingerprints of the root certificates of software devices.
	SoftCA [][32]byte
}

// Builtin is the policy of someone who gave none: AMD SEV-SNP and Intel TDX,
// and no reference set. Nothing passes it; the failing check says how to pin
// the values of a provider.
func Builtin() *Policy {
	return &Policy{
		Version:   1,
		Trust:     Trust{Levels: []attest.Level{attest.LevelSNP, attest.LevelTDX}},
		Freshness: Freshness{MaxAge: DefaultMaxAge},
		builtin:   true,
	}
}

// levelTypes says what evidence each level comes from, strongest first: the
// order in which a verifier asks for them.
var levelTypes = []struct {
	level attest.Level
	kind  attest.Type
}{
	{attest.LevelTDX, attest.TDX},
	{attest.LevelSNP, attest.SEVSNP},
	{attest.LevelTPMMeasuredBoot, attest.TPM2},
	{attest.LevelTPMIdentity, attest.TPM2},
	{attest.LevelSoft, attest.Soft},
}

// AcceptTypes are the types of evidence that can pass, strongest first.
func (p *Policy) AcceptTypes() []attest.Type {
	var types []attest.Type
	if p == nil {
		return nil
	}
	for _, lt := range levelTypes {
		if p.accepts(lt.level) && !slices.Contains(types, lt.kind) {
			types = append(types, lt.kind)
		}
	}
	return types
}

// SoftCAs are the fingerprints of the development roots that verification may
// end in. There are none unless the level soft is accepted.
func (p *Policy) SoftCAs() [][32]byte {
	if p == nil || !p.accepts(attest.LevelSoft) {
		return nil
	}
	return slices.Clone(p.Dev.SoftCA)
}

// EKRoots are the fingerprints of the roots that an endorsement key's chain
// may end in. There are none unless a level of a TPM is accepted.
func (p *Policy) EKRoots() [][32]byte {
	if p == nil || !p.accepts(attest.LevelTPMIdentity) && !p.accepts(attest.LevelTPMMeasuredBoot) {
		return nil
	}
	return slices.Clone(p.Trust.EKRoots)
}

// AKNames are the names of the attestation keys that the policy pins: a quote by
// one of them needs neither a certificate of its endorsement key nor an
// activation, since whoever wrote the policy vouches for the key. There are none
// unless a level of a TPM is accepted. Keys of sets that name endorsement keys
// as well are not among them: there both have to be shown. Neither are those of
// sets for reports, which count only beside a report that names them.
func (p *Policy) AKNames() [][AKNameSize]byte {
	if p == nil || !p.accepts(attest.LevelTPMIdentity) && !p.accepts(attest.LevelTPMMeasuredBoot) {
		return nil
	}
	var names [][AKNameSize]byte
	for _, s := range p.Reference {
		for _, n := range s.AKs {
			if s.TEE == attest.TPM2 && len(s.EK) == 0 && len(n) == AKNameSize {
				names = append(names, [AKNameSize]byte(n))
			}
		}
	}
	return names
}

// PCRs are the registers that a quote must cover, ascending: firmware and boot
// loader (0 to 7), the pod log (14), and what a reference set names.
func (p *Policy) PCRs() []uint32 {
	pcrs := []uint32{0, 1, 2, 3, 4, 5, 6, 7, 14}
	if p != nil {
		for _, s := range p.Reference {
			if s.PCRs != nil {
				pcrs = append(pcrs, s.PCRs.indexes()...)
			}
			if s.TEE != attest.TDX {
				pcrs = append(pcrs, s.Boot.registers()...)
			}
		}
	}
	slices.Sort(pcrs)
	return slices.Compact(pcrs)
}

// Digest is the SHA-256 of [Policy.Marshal]: the same for two files that
// demand the same in the same order.
func (p *Policy) Digest() [32]byte { return sha256.Sum256(p.Marshal()) }

func (p *Policy) accepts(l attest.Level) bool { return slices.Contains(p.Trust.Levels, l) }

// level is what matching the set proves.
func (s *ReferenceSet) level() attest.Level {
	switch s.TEE {
	case attest.SEVSNP:
		return attest.LevelSNP
	case attest.TDX:
		return attest.LevelTDX
	case attest.Soft:
		return attest.LevelSoft
	case attest.TPM2:
		if s.PCRs != nil || s.Boot != nil {
			return attest.LevelTPMMeasuredBoot
		}
		return attest.LevelTPMIdentity
	}
	return ""
}

// indexes are the registers, ascending.
func (q *PCRs) indexes() []uint32 {
	var list []uint32
	for i := range q.Values {
		list = append(list, i)
	}
	slices.Sort(list)
	return list
}
