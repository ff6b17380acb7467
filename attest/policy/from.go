package policy

import (
	"bytes"
	"fmt"
	"slices"

	"apocryph/attest"
)

// bootPCRs are the registers that [FromResult] pins: firmware, option ROMs,
// boot loader and secure boot. The others change with settings, disks or every
// pod, and pinning them would only teach people to pin anew without looking.
var bootPCRs = []uint32{0, 2, 4, 7}

// FromResult writes down what providers showed, one reference set each, as an
// unverified policy. Protected storage is demanded where all have it. Debugging and migration cannot be written down, so a
// machine with either fails its own policy. Results that are nil are left out;
// without any, nothing passes.
func FromResult(results []*attest.Result) *Policy {
	p := &Policy{Version: 1, Unverified: true, Freshness: Freshness{MaxAge: DefaultMaxAge}}
	open := false
	for _, r := range results {
		if r != nil && r.Claims != nil {
			p.Storage.Protected = true
			open = open || !protects(r.Claims.Storage)
		}
		switch {
		case r == nil:
		case r.Level == attest.LevelSNP && r.SNP != nil:
			p.add(fromSNP(r.SNP).besides(r.TPM))
		case r.Level == attest.LevelTDX && r.TDX != nil:
			p.add(fromTDX(r.TDX).besides(r.TPM))
		case r.Level == attest.LevelSoft && r.SNP != nil:
			p.Dev.SoftCA = withPrint(p.Dev.SoftCA, r.SNP.RootFingerprint)
			p.add(fromSoft(r.SNP).besides(r.TPM))
		case (r.Level == attest.LevelTPMIdentity || r.Level == attest.LevelTPMMeasuredBoot) && r.TPM != nil:
			p.Trust.EKRoots = withPrint(p.Trust.EKRoots, r.TPM.EKRootFingerprint)
			p.add(fromTPM(r.TPM))
		}
	}
	p.Storage.Protected = p.Storage.Protected && !open
	return p
}

// protects tells which kinds of storage keep the disk's owner from reading.
func protects(storage string) bool { return storage == "fscrypt" || storage == "tmpfs" }

// add appends a set that is not there yet, under a name of its own.
func (p *Policy) add(s ReferenceSet) {
	name, same := s.Name, 1
	for i := 0; i < len(p.Reference); i++ {
		other := p.Reference[i]
		if other.Name != s.Name {
			continue
		}
		if equalSets(s, other) {
			return
		}
		same++
		s.Name, i = fmt.Sprintf("%s-%d", name, same), -1
	}
	p.Reference = append(p.Reference, s)
	if l := s.level(); !p.accepts(l) {
		p.Trust.Levels = append(p.Trust.Levels, l)
	}
}

func equalSets(a, b ReferenceSet) bool {
	var wa, wb writer
	wa.set(&a)
	wb.set(&b)
	return wa.b.String() == wb.b.String()
}

func fromSNP(f *attest.SNPFacts) ReferenceSet {
	s := ReferenceSet{
		TEE: attest.SEVSNP, Measurement: [][]byte{bytes.Clone(f.Measurement)},
		GuestPolicy: fromGuestPolicy(f), VMPL: f.VMPL, SNP: fromSNPFacts(f),
	}
	id := f.Measurement
	if len(f.ChipID) > 0 && !zero(f.ChipID) {
		s.ChipIDs, id = [][]byte{bytes.Clone(f.ChipID)}, f.ChipID
	}
	s.pinTCB(f)
	s.Name = setNameOf("sev-snp", id)
	return s
}

// pinTCB pins the firmware. What cannot be rolled back and what was there at
// launch get a floor of their own where they are older than what runs.
func (s *ReferenceSet) pinTCB(f *attest.SNPFacts) {
	if !knownProduct(f.Product) {
		return
	}
	reported, committed, launch := unpackTCB(f.Product, f.ReportedTCB), unpackTCB(f.Product, f.CommittedTCB), unpackTCB(f.Product, f.LaunchTCB)
	if reported == (TCB{}) {
		return
	}
	s.MinTCB = &reported
	if committed != reported {
		s.SNP.MinCommittedTCB = &committed
	}
	if launch != reported {
		s.SNP.MinLaunchTCB = &launch
	}
}

// fromSoft pins the program; the machine is known by its CA.
func fromSoft(f *attest.SNPFacts) ReferenceSet {
	return ReferenceSet{
		Name: setNameOf("soft", f.Measurement), TEE: attest.Soft,
		Measurement: [][]byte{bytes.Clone(f.Measurement)},
		GuestPolicy: fromGuestPolicy(f), VMPL: f.VMPL,
	}
}

// fromTPM pins the machine and its boot: the registers of firmware, boot loader
// and secure boot, and what the event log proves of programs and kernel. Where
// GRUB or a kernel's stub measured, their registers are pinned too, since the
// provider's own software is in those.
func fromTPM(f *attest.TPMFacts) ReferenceSet {
	s := ReferenceSet{Name: setNameOf("tpm2", f.EKFingerprint[:]), TEE: attest.TPM2}
	if f.EKFingerprint != [32]byte{} {
		s.EK = [][32]byte{f.EKFingerprint}
	}
	if len(f.AKName) == AKNameSize {
		s.AKs = [][]byte{bytes.Clone(f.AKName)}
	}
	s.Boot, s.PCRs = fromBoot(f.Boot), fromPCRs(f)
	return s
}

// fromPCRs are the registers to pin; nil where none was quoted.
func fromPCRs(f *attest.TPMFacts) *PCRs {
	pinned := bootPCRs
	if b := f.Boot; b != nil {
		if len(b.Script) > 0 {
			pinned = append(slices.Clone(pinned), 8, 9)
		} else if len(b.LoadOptions) > 0 || len(b.Initrd) > 0 {
			pinned = append(slices.Clone(pinned), 9)
		}
	}
	for _, bank := range []string{"sha256", "sha384"} {
		values := map[uint32][][]byte{}
		for _, q := range f.PCRs {
			if q.Bank == bank && slices.Contains(pinned, q.Index) {
				values[q.Index] = [][]byte{bytes.Clone(q.Value)}
			}
		}
		if len(values) > 0 {
			return &PCRs{Bank: bank, Values: values}
		}
	}
	return nil
}

func setNameOf(kind string, id []byte) string {
	return fmt.Sprintf("%s-%x", kind, id[:min(len(id), 4)])
}

func withPrint(list [][32]byte, f [32]byte) [][32]byte {
	if f == [32]byte{} || slices.Contains(list, f) {
		return list
	}
	return append(list, f)
}
