package providerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"apocryph/attest"
	"apocryph/attest/device/collateral"
	"apocryph/attest/device/tpm"
	"apocryph/attest/device/tsm"
	"apocryph/proto/status"
)

// tpmPatience bounds a look at a TPM.
const tpmPatience = 15 * time.Second

// checkTEE says what there is of each kind of evidence, what that means, and
// how to get what is missing. Only what the configuration asks for can fail.
func checkTEE(cfg Config) []Diagnosis {
	found := cfg.probe()
	kind := attest.Type(cfg.TEE)
	if cfg.TEE == "auto" {
		t, ok := found.Type()
		switch {
		case ok:
			kind = t
		case hasTPM(cfg.tpmPath()):
			kind = attest.TPM2
		}
	}
	snp, tdx := diagnoseSNP(cfg, found), diagnoseTDX(cfg, found)
	beside := kind != attest.TPM2 && kind != "auto" && cfg.binds(kind)
	tpms := diagnoseTPM(cfg, kind == attest.TPM2 || beside)
	chosen := map[attest.Type]bool{attest.SEVSNP: snp.OK, attest.TDX: tdx.OK, attest.TPM2: tpms[0].OK}
	out := []Diagnosis{diagnoseChoice(cfg, kind, chosen)}
	for t, d := range map[attest.Type]*Diagnosis{attest.SEVSNP: &snp, attest.TDX: &tdx} {
		// What nobody asked for is told, and no fault.
		d.OK = d.OK || t != kind
	}
	out = append(out, snp, tdx)
	if beside {
		tpms[0] = diagnoseBound(cfg, kind, tpms[0])
	}
	for _, d := range tpms {
		// The default TPM is not missed where it does not work.
		d.OK = d.OK || kind != attest.TPM2 && !(beside && cfg.namesTPM())
		out = append(out, d)
	}
	if kind == attest.SEVSNP || kind == attest.TDX {
		out = append(out, diagnoseCollateral(cfg, kind))
	}
	return out
}

// diagnoseChoice is what the provider would attest with.
func diagnoseChoice(cfg Config, kind attest.Type, works map[attest.Type]bool) Diagnosis {
	d := Diagnosis{Name: "tee", OK: works[kind]}
	switch kind {
	case attest.Soft:
		d.OK, d.Found = true, "the software device: NOT SECURE, for development only"
	case attest.SEVSNP, attest.TDX:
		d.Found = fmt.Sprintf("%s: memory is kept from the machine's owner, and the launch is measured", kind)
	case attest.TPM2:
		d.Found = "tpm2: proves which software booted, and is not a TEE: the machine's owner can read memory"
	default:
		d.Found = "no device to attest with"
		d.Do = "run in a confidential virtual machine, give this one a vTPM, or use --tee soft for development"
		return d
	}
	if !d.OK {
		d.Found, d.Do = fmt.Sprintf("%s cannot be used here", kind), "see below; --tee auto takes the best that is there, --tee soft is for development"
	}
	return d
}

// has is "NAME", or "no NAME".
func has(ok bool, name string) string {
	if ok {
		return name
	}
	return "no " + name
}

func diagnoseSNP(cfg Config, f tsm.Found) Diagnosis {
	d := Diagnosis{Name: "sev-snp", Found: strings.Join([]string{
		reports(f), has(f.SEVGuest, tsm.SEVGuestFile), has(f.FlagSNP, "CPU flag sev_snp"),
	}, ", ")}
	t, ok := f.Type()
	switch {
	case ok && t == attest.SEVSNP && !f.SEVGuest:
		d.Found += "; reports can be made, no key can be derived for data at rest"
		d.Do = "modprobe sev-guest, which makes " + tsm.SEVGuestFile
	case ok && t == attest.SEVSNP:
		d.OK = true
		d.Found += fmt.Sprintf("; reports are made for VMPL %d, data at rest opens for this launch measurement and guest policy", cfg.SEVVMPL)
	case f.FlagSNP:
		d.Found += "; this is an SEV-SNP guest without its driver"
		d.Do = "modprobe sev-guest; mount -t configfs none /sys/kernel/config; in a container, pass both in"
	case f.ProviderErr != nil && f.ReportDir:
		d.Found += "; the platform does not say what it is: " + f.ProviderErr.Error()
		d.Do = "run as root: only root may make requests"
	default:
		d.Found += "; not an SEV-SNP guest"
		d.Do = "start this virtual machine with SEV-SNP on an EPYC host (7003 or later), if you want it"
	}
	return d
}

func diagnoseTDX(_ Config, f tsm.Found) Diagnosis {
	d := Diagnosis{Name: "tdx", Found: strings.Join([]string{
		reports(f), has(f.TDXGuest, tsm.TDXGuestFile), has(f.FlagTDX, "CPU flag tdx_guest"), has(f.BootLog, "boot event log (CCEL)"),
	}, ", ")}
	t, ok := f.Type()
	switch {
	case ok && t == attest.TDX:
		d.OK = true
		d.Found += "; TDX has no sealing: after each restart pods wait until their publishers deploy them again"
		if !f.BootLog {
			d.Do = "use firmware with EFI_CC_MEASUREMENT_PROTOCOL: without a log, policies can pin registers alone"
		}
	case f.FlagTDX || f.TDXGuest:
		d.Found += "; this is a TDX guest that cannot get quotes"
		d.Do = "use Linux 6.7 or later; modprobe tdx-guest; mount -t configfs none /sys/kernel/config"
	default:
		d.Found += "; not a TDX guest"
		d.Do = "start this virtual machine as a trust domain on a host with TDX (4th generation Xeon or later), if you want it"
	}
	return d
}

// reports says what configfs-tsm is.
func reports(f tsm.Found) string {
	switch {
	case !f.ReportDir:
		return "no " + tsm.ReportDir
	case f.Provider == "":
		return tsm.ReportDir + " without an answer"
	}
	return fmt.Sprintf("%s of platform %.32q", tsm.ReportDir, f.Provider)
}

// diagnoseTPM looks at the device, then at the firmware's log.
func diagnoseTPM(cfg Config, wanted bool) []Diagnosis {
	d := Diagnosis{Name: "tpm2"}
	if cfg.TPM == NoTPM {
		d.Found, d.Do = "none is to be used", "name one with --tpm, if this machine has it and you want it"
		return []Diagnosis{d}
	}
	if !hasTPM(cfg.tpmPath()) {
		d.Found = "no TPM 2.0 at " + cfg.tpmPath()
		d.Do = "give the virtual machine a vTPM, enable the TPM in the firmware's setup, or name another with --tpm"
		return []Diagnosis{d}
	}
	d.Found = "a TPM at " + cfg.tpmPath()
	if err := lookAtTPM(cfg); status.ReasonOf(err) == "tpm.in_use" {
		d.OK, d.Found = true, d.Found+", used by a provider that runs"
	} else if err != nil {
		d.Found += ": " + err.Error()
		d.Do = "check that it is a TPM 2.0 that works: tpm2_getcap properties-fixed"
		if e := (*status.Error)(nil); errors.As(err, &e) && e.Hint != "" {
			d.Do = e.Hint
		}
	} else {
		d.OK, d.Found = true, d.Found+" with the certificate of its endorsement key"
	}
	if !wanted {
		return []Diagnosis{d}
	}
	path := settings{Config: cfg}.bootLog()
	log := Diagnosis{Name: "boot-log", OK: true, Found: "none: identity can be proven, what was booted only by register values"}
	if path == "" {
		log.Do = "--tpm-boot-log names the log of an emulated TPM's machine"
		return []Diagnosis{d, log}
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		log.Do = "mount -t securityfs none /sys/kernel/security; the firmware must be UEFI with TPM support"
	case err != nil:
		log.OK, log.Found, log.Do = false, path+": "+err.Error(), "run as root"
	case info.Size() > attest.MaxBootLog:
		log.OK, log.Found = false, fmt.Sprintf("%s has %d bytes, more than %d", path, info.Size(), attest.MaxBootLog)
		log.Do = "--tpm-boot-log of an absent file goes without"
	default:
		log.Found = path + ": verifiers can replay what was booted"
	}
	return []Diagnosis{d, log}
}

// lookAtTPM opens a TPM and reads its identity, and leaves nothing behind.
func lookAtTPM(cfg Config) error {
	return withTPM(cfg, func(ctx context.Context, d *tpm.Device) error {
		_, err := d.Identity(ctx)
		return err
	})
}

// withTPM opens the TPM for a look.
func withTPM(cfg Config, look func(context.Context, *tpm.Device) error) (err error) {
	locks := tpmLockDir
	if _, err := os.Stat(locks); err != nil {
		// No provider has run since the boot.
		if locks, err = os.MkdirTemp("", "apocryph-doctor-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(locks)) }()
	}
	ctx, cancel := context.WithTimeout(context.Background(), tpmPatience)
	defer cancel()
	d, err := tpm.Open(ctx, tpm.Config{Path: cfg.tpmPath(), StateDir: cfg.DataDir, LockDir: locks})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return look(ctx, d)
}

// diagnoseCollateral says how old what vendors said is.
func diagnoseCollateral(cfg Config, kind attest.Type) Diagnosis {
	service := cfg.AMDKDS
	if kind == attest.TDX {
		service = cfg.IntelPCS
	}
	d := Diagnosis{Name: "collateral", OK: true}
	now := time.Now
	if cfg.Now != nil {
		now = cfg.Now
	}
	var found []string
	for _, k := range collateral.ListKept(filepath.Join(cfg.DataDir, "tee", "collateral")) {
		text := fmt.Sprintf("%s, %s old, until %s", k.Name, now().Sub(k.Fetched).Round(time.Hour), k.Expires.UTC().Format(time.DateOnly))
		if !now().Before(k.Expires) {
			text += " (EXPIRED)"
			d.OK = false
		}
		found = append(found, text)
	}
	off := service == "" || service == collateral.Off
	switch {
	case len(found) == 0 && off && kind == attest.TDX:
		d.OK, d.Found, d.Do = false, "none, and none is to be fetched", "set --intel-pcs to Intel's service or a cache of it: without collateral no quote is accepted"
	case len(found) == 0 && off:
		d.Found = "none, and none is to be fetched: the host has to give the chip's certificate"
	case len(found) == 0:
		d.Found = "none yet; the first evidence fetches it from " + service
	case d.OK:
		d.Found = strings.Join(found, "; ")
	default:
		d.Found = strings.Join(found, "; ")
		d.Do = "let this machine reach " + service + ", and check its clock"
		if off {
			d.Do = "name a service with --amd-kds or --intel-pcs: what expired is refused by everybody"
		}
		// What expired is fetched again by its next use.
		d.OK = !off
	}
	return d
}
