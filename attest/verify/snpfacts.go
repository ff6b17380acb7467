package verify

import (
	"bytes"
	"fmt"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"

	"apocryph/attest"
)

// contradiction says how a report contradicts its certificate or itself: what
// it says and what it should; "" where it does not.
//
// The reported TCB is the one that the key was derived for and the certificate
// names. The firmware may run a newer, current one; it is provisional until the
// host commits it, after which no older one can be loaded. Provisional firmware
// is refused: behind it the host can go back to what has known holes. So in
// what passes reported <= committed = current.
func contradiction(r *spb.Report, ek *endorsementKey) (got, want string) {
	current := attest.SNPFirmware{Major: uint8(r.GetCurrentMajor()), Minor: uint8(r.GetCurrentMinor()), Build: uint8(r.GetCurrentBuild())}
	committed := attest.SNPFirmware{Major: uint8(r.GetCommittedMajor()), Minor: uint8(r.GetCommittedMinor()), Build: uint8(r.GetCommittedBuild())}
	switch {
	case r.GetReportedTcb() != ek.tcb:
		return fmt.Sprintf("reported TCB %016x", r.GetReportedTcb()), fmt.Sprintf("%016x, which the certificate is for", ek.tcb)
	case r.GetCommittedTcb() != r.GetCurrentTcb():
		return fmt.Sprintf("provisional firmware: TCB %016x", r.GetCurrentTcb()), fmt.Sprintf("the committed one, %016x", r.GetCommittedTcb())
	case committed != current:
		return fmt.Sprintf("provisional firmware: version %v", current), fmt.Sprintf("the committed one, %v", committed)
	case !tcbAtMost(r.GetReportedTcb(), r.GetCommittedTcb()):
		return fmt.Sprintf("reported TCB %016x", r.GetReportedTcb()), fmt.Sprintf("at most the committed one, %016x", r.GetCommittedTcb())
	case ek.chip != nil && !zeros(r.GetChipId()) && !bytes.Equal(r.GetChipId(), ek.chip):
		return "chip " + short(r.GetChipId()), short(ek.chip) + ", which the certificate is for"
	}
	return "", ""
}

// tcbAtMost compares packed TCB versions byte by byte, which is part by part on
// every product line.
func tcbAtMost(a, b uint64) bool {
	for range 8 {
		if a&0xff > b&0xff {
			return false
		}
		a, b = a>>8, b>>8
	}
	return true
}

func zeros(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func snpFacts(r *spb.Report, policy abi.SnpPolicy, c *snpChain) *attest.SNPFacts {
	facts := &attest.SNPFacts{
		Product:           c.ek.line,
		ReportVersion:     int(r.GetVersion()),
		Measurement:       r.GetMeasurement(),
		HostData:          r.GetHostData(),
		ChipID:            r.GetChipId(),
		ChipIDMasked:      zeros(r.GetChipId()),
		Debug:             policy.Debug,
		Migratable:        policy.MigrateMA,
		SMT:               policy.SMT,
		VMPL:              int(r.GetVmpl()),
		GuestSVN:          r.GetGuestSvn(),
		ReportedTCB:       r.GetReportedTcb(),
		CommittedTCB:      r.GetCommittedTcb(),
		CurrentTCB:        r.GetCurrentTcb(),
		LaunchTCB:         r.GetLaunchTcb(),
		Firmware:          attest.SNPFirmware{Major: uint8(r.GetCurrentMajor()), Minor: uint8(r.GetCurrentMinor()), Build: uint8(r.GetCurrentBuild())},
		GuestPolicy:       guestPolicy(r.GetPolicy(), policy),
		Platform:          platform(r.GetPlatformInfo()),
		FamilyID:          r.GetFamilyId(),
		ImageID:           r.GetImageId(),
		ReportID:          r.GetReportId(),
		ReportIDMA:        r.GetReportIdMa(),
		LaunchMitigations: r.GetLaunchMitVector(), CurrentMitigations: r.GetCurrentMitVector(),
		CSP:             c.ek.csp,
		CRLExpires:      c.crlExpires,
		RootFingerprint: c.fingerprint,
	}
	if facts.ChipIDMasked {
		// The certificate of a chip's own key names it all the same.
		facts.ChipID = bytes.Clone(c.ek.chip)
	}
	if !zeros(r.GetIdKeyDigest()) {
		facts.IDKeyDigest = r.GetIdKeyDigest()
	}
	if info, err := abi.ParseSignerInfo(r.GetSignerInfo()); err == nil && info.AuthorKeyEn {
		facts.AuthorKeyDigest = r.GetAuthorKeyDigest()
	}
	return facts
}

func guestPolicy(raw uint64, p abi.SnpPolicy) attest.SNPGuestPolicy {
	return attest.SNPGuestPolicy{
		Raw: raw, ABIMajor: p.ABIMajor, ABIMinor: p.ABIMinor, SingleSocket: p.SingleSocket, CXLAllowed: p.CXLAllowed,
		AES256XTS: p.MemAES256XTS, RAPLOff: p.RAPLDis, CiphertextHiding: p.CipherTextHidingDRAM, PageSwapOff: p.PageSwapDisable,
	}
}

// platform does not refuse unknown bits as the library does: newer firmware
// sets them, and no known one changes its meaning for it.
func platform(raw uint64) attest.SNPPlatform {
	bit := func(n uint) bool { return raw>>n&1 == 1 }
	return attest.SNPPlatform{
		Raw: raw, SMT: bit(0), TSME: bit(1), ECC: bit(2), RAPLOff: bit(3), CiphertextHiding: bit(4), AliasCheck: bit(5), TIO: bit(7),
	}
}
