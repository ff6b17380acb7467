package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/proto/status"
)

func hexOf(b byte, n int) string { return strings.Repeat(hex64(b)[:2], n) }

func ptr[T any](v T) *T { return &v }

// The fullest set of each kind, and results that match it.
var (
	fullSNP = `version: 3
name: shop
trust:
  levels: [sev-snp]
reference:
  - name: milan
    tee: sev-snp
    products: [Milan, Genoa]
    measurement: ["` + hex96(0x11) + `"]
    min_tcb: {bootloader: 4, tee: 1, snp: 23, microcode: 213}
    min_committed_tcb: {bootloader: 3, snp: 22}
    min_launch_tcb: {bootloader: 2, snp: 21}
    min_firmware: "1.55.21"
    mitigations: 3
    platform: [tsme, ecc, alias_check, ciphertext_hiding, rapl_off, smt_off, tio_off, vcek]
    require_crl: true
    guest_policy: {cxl: true, min_abi: "1.55", require: [single_socket, aes256_xts, rapl_off, ciphertext_hiding, page_swap_off]}
    host_data: ["` + hexOf(0x44, 32) + `"]
    id_keys: ["` + hex96(0x45) + `"]
    author_keys: ["` + hex96(0x46) + `"]
    min_guest_svn: 7
workload:
  registers: [pcr14, none]
  required_events: [config, ready]
  forbid: [exec-attempt, ssh]
transparency: {require_inclusion: true}
`
	fullTDX = `version: 1
trust: {levels: [tdx]}
reference:
  - name: rapids
    tee: tdx
    mrtd: ["` + hex96(0x21) + `"]
    tcb: {min_evaluation: 17, advisories: [INTEL-SA-00001, INTEL-SA-00002]}
    mr_config_ids: ["` + hex96(0x51) + `"]
    mr_owners: ["` + hex96(0x52) + `"]
    mr_owner_configs: ["` + hex96(0x53) + `"]
    sept_ve_disable: true
    boot:
      secure_boot: true
      images: ["` + hex96(0x61) + `"]
      events: {2: ["` + hex96(0x62) + `", "` + hex96(0x62) + `"]}
`
	fullTPM = `version: 1
trust: {levels: [tpm2-measured-boot]}
reference:
  - name: server
    tee: tpm2
    aks: ["` + hexOf(0x0b, 34) + `"]
    boot:
      secure_boot: true
      keys: {pk: ["sha256:` + hex64(1) + `"], kek: ["sha256:` + hex64(2) + `"], db: ["sha256:` + hex64(3) + `"], dbx: ["sha256:` + hex64(4) + `"]}
      images: ["` + hex64(0x61) + `", "` + hex64(0x62) + `"]
      firmware: ["` + hex64(0x63) + `"]
      firmware_versions: ["1.0"]
      command_lines: ["root=/dev/sda1 \"quiet\""]
      load_options: ["` + hex64(0x64) + `"]
      initrds: ["` + hex64(0x65) + `"]
      sections: {.linux: ["` + hex64(0x66) + `"]}
      events: {9: ["` + hex64(0x67) + `"]}
`
)

func fullSNPResult() *attest.Result {
	r := snpResult()
	f := r.SNP
	f.SMT = false
	f.ReportVersion, f.Firmware = 5, attest.SNPFirmware{Major: 1, Minor: 55, Build: 21}
	f.GuestPolicy = attest.SNPGuestPolicy{ABIMajor: 1, ABIMinor: 55, SingleSocket: true, CXLAllowed: true, AES256XTS: true, RAPLOff: true, CiphertextHiding: true, PageSwapOff: true}
	f.Platform = attest.SNPPlatform{TSME: true, ECC: true, RAPLOff: true, CiphertextHiding: true, AliasCheck: true}
	f.LaunchMitigations, f.CurrentMitigations = 3, 7
	f.HostData, f.IDKeyDigest, f.AuthorKeyDigest, f.GuestSVN = fill(0x44, 32), fill(0x45, 48), fill(0x46, 48), 7
	f.CRLExpires = now.Add(time.Hour)
	r.PodLog = &attest.PodLogFacts{Register: "pcr14", Length: 4, Events: map[string]int{"config": 1, "ready": 1}}
	r.Transparency = &attest.TransparencyFacts{Size: 9, Included: true}
	return r
}

func fullTDXResult() *attest.Result {
	r := tdxResult()
	f := r.TDX
	f.TCBEvaluation, f.MRConfigID, f.MROwner, f.MROwnerConfig, f.SEPTVEDisable = 17, fill(0x51, 48), fill(0x52, 48), fill(0x53, 48), true
	f.Boot = &attest.BootFacts{
		Bank: "sha384", SecureBoot: ptr(true), Images: [][]byte{fill(0x61, 48)},
		Events: map[int][][]byte{2: {fill(0x62, 48), fill(0x62, 48)}},
	}
	return r
}

func fullTPMResult() *attest.Result {
	r := tpmResult()
	r.TPM.AKName, r.TPM.EKFingerprint, r.TPM.EKRootFingerprint = fill(0x0b, 34), [32]byte{}, [32]byte{}
	r.TPM.Boot = &attest.BootFacts{
		Bank: "sha256", SecureBoot: ptr(true), PK: ptr(print32(1)), KEK: ptr(print32(2)), DB: ptr(print32(3)), DBX: ptr(print32(4)),
		Images: [][]byte{fill(0x61, 32), fill(0x62, 32), fill(0x61, 32)}, Firmware: [][]byte{fill(0x63, 32)},
		FirmwareVersion: ptr("1.0"), CommandLine: ptr(`root=/dev/sda1 "quiet"`), LoadOptions: fill(0x64, 32), Initrd: fill(0x65, 32),
		Sections: []attest.BootSection{{Name: ".linux", Digest: fill(0x66, 32)}, {Name: ".sbat", Digest: fill(1, 32)}},
		Events:   map[int][][]byte{9: {fill(0x67, 32)}},
	}
	return r
}

func TestFullPoliciesAffirm(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		result *attest.Result
		level  attest.Level
	}{
		"snp": {fullSNP, fullSNPResult(), attest.LevelSNP},
		"tdx": {fullTDX, fullTDXResult(), attest.LevelTDX},
		"tpm": {fullTPM, fullTPMResult(), attest.LevelTPMMeasuredBoot},
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, tt.text)
			v := p.Appraise(tt.result, now)
			if !v.Affirmed || v.Level != tt.level || len(v.Platform) != 64 {
				t.Fatal(policy.ExplainVerdict(v))
			}
			again := parse(t, string(p.Marshal()))
			if d := cmp.Diff(p, again, ignoreLines); d != "" {
				t.Error(d)
			}
			golden(t, "marshal-full-"+name+".yaml", string(p.Marshal()))
			golden(t, "explain-full-"+name+".txt", strings.Join(policy.Explain(p), "\n")+"\n")
			if d := policy.Diff(p, again); len(d) != 0 {
				t.Error(d)
			}
		})
	}
}

// full makes results with one thing wrong.
func full[F any](result func() *attest.Result, of func(*attest.Result) F, f func(F)) *attest.Result {
	r := result()
	f(of(r))
	return r
}

func TestFullPoliciesDeny(t *testing.T) {
	snp := func(f func(*attest.SNPFacts)) *attest.Result {
		return full(fullSNPResult, func(r *attest.Result) *attest.SNPFacts { return r.SNP }, f)
	}
	tdx := func(f func(*attest.TDXFacts)) *attest.Result {
		return full(fullTDXResult, func(r *attest.Result) *attest.TDXFacts { return r.TDX }, f)
	}
	tpm := func(f func(*attest.TPMFacts)) *attest.Result {
		return full(fullTPMResult, func(r *attest.Result) *attest.TPMFacts { return r.TPM }, f)
	}
	boot := func(f func(*attest.BootFacts)) *attest.Result {
		return tpm(func(t *attest.TPMFacts) { f(t.Boot) })
	}
	log := func(f func(*attest.Result)) *attest.Result { return change(fullSNPResult(), f) }
	for _, tt := range []struct {
		name, text string
		result     *attest.Result
		code       string
		// got, want and asked are parts of the failing check.
		got, want, asked string
	}{
		{"another product", fullSNP, snp(func(f *attest.SNPFacts) { f.Product = "Turin" }), policy.CodeTCBFloor, "bootloader", "", "min_tcb"},
		{"product", strings.Replace(fullSNP, "[Milan, Genoa]", "[Genoa]", 1), fullSNPResult(), policy.CodePlatform, "Milan", "Genoa", "policy line 8: reference[0].products"},
		{"committed", fullSNP, snp(func(f *attest.SNPFacts) { f.CommittedTCB -= 2 << 48 }), policy.CodeTCBFloor, "committed snp 21 (want 22)", "bootloader: 3", "policy line 11: reference[0].min_committed_tcb"},
		{"launch", fullSNP, snp(func(f *attest.SNPFacts) { f.LaunchTCB = 1 }), policy.CodeTCBFloor, "launch bootloader 1 (want 2), snp 0 (want 21)", "", "policy line 12: reference[0].min_launch_tcb"},
		{"reported", fullSNP, snp(func(f *attest.SNPFacts) { f.ReportedTCB-- }), policy.CodeTCBFloor, "reported bootloader 3 (want 4)", "", "policy line 10: reference[0].min_tcb"},
		{"old firmware", fullSNP, snp(func(f *attest.SNPFacts) { f.Firmware.Build = 20 }), policy.CodeTCBFloor, "1.55.20", "at least 1.55.21", "min_firmware"},
		{"old major", fullSNP, snp(func(f *attest.SNPFacts) { f.Firmware = attest.SNPFirmware{Minor: 99, Build: 99} }), policy.CodeTCBFloor, "0.99.99", "1.55.21", ""},
		{"mitigation off now", fullSNP, snp(func(f *attest.SNPFacts) { f.CurrentMitigations = 1 }), policy.CodeTCBFloor, "0x1 now", "all bits of 0x3", "mitigations"},
		{"mitigation off at launch", fullSNP, snp(func(f *attest.SNPFacts) { f.LaunchMitigations = 4 }), policy.CodeTCBFloor, "0x4 at launch", "", ""},
		{"smt", fullSNP, snp(func(f *attest.SNPFacts) { f.SMT = true }), policy.CodeGuestPolicy, "smt on", "smt off", ""},
		{"machine with smt", fullSNP, snp(func(f *attest.SNPFacts) { f.Platform.SMT = true }), policy.CodePlatformSetup, "no smt_off", "tsme", "policy line 15: reference[0].platform"},
		{"no tsme, no ecc", fullSNP, snp(func(f *attest.SNPFacts) { f.Platform.TSME, f.Platform.ECC = false, false }), policy.CodePlatformSetup, "no tsme, no ecc", "", ""},
		{"devices in guests", fullSNP, snp(func(f *attest.SNPFacts) { f.Platform.TIO = true }), policy.CodePlatformSetup, "no tio_off", "", ""},
		{"a cloud's key", fullSNP, snp(func(f *attest.SNPFacts) { f.CSP = "cloud" }), policy.CodePlatformSetup, "no vcek", "", ""},
		{"cxl", strings.Replace(fullSNP, "cxl: true, ", "", 1), fullSNPResult(), policy.CodeGuestPolicy, "CXL allowed", "not allowed", "guest_policy"},
		{"abi", fullSNP, snp(func(f *attest.SNPFacts) { f.GuestPolicy.ABIMinor = 54 }), policy.CodeGuestPolicy, "1.54", "1.55", "guest_policy.min_abi"},
		{"two sockets", fullSNP, snp(func(f *attest.SNPFacts) { f.GuestPolicy.SingleSocket = false }), policy.CodeGuestPolicy, "no single_socket", "aes256_xts", "guest_policy.require"},
		{"no ciphertext hiding", fullSNP, snp(func(f *attest.SNPFacts) { f.GuestPolicy.CiphertextHiding = false }), policy.CodeGuestPolicy, "no ciphertext_hiding", "", ""},
		{"no revocation list", fullSNP, snp(func(f *attest.SNPFacts) { f.CRLExpires = time.Time{} }), policy.CodeNoCollateral, "none", "AMD's, until after 2026-11-21T12:00:00Z", "policy line 16: reference[0].require_crl"},
		{"a revocation list of yesterday", fullSNP, snp(func(f *attest.SNPFacts) { f.CRLExpires = now.Add(-24 * time.Hour) }), policy.CodeNoCollateral, "one until 2026-11-20T12:00:00Z", "", "policy line 16: reference[0].require_crl"},
		{"a revocation list until now", fullSNP, snp(func(f *attest.SNPFacts) { f.CRLExpires = now }), policy.CodeNoCollateral, "one until 2026-11-21T12:00:00Z", "", ""},
		{"host data", fullSNP, snp(func(f *attest.SNPFacts) { f.HostData[0]++ }), policy.CodeHostData, "4544", "4444", "host_data"},
		{"no host data", fullSNP, snp(func(f *attest.SNPFacts) { f.HostData = nil }), policy.CodeHostData, "nothing", "", ""},
		{"another id key", fullSNP, snp(func(f *attest.SNPFacts) { f.IDKeyDigest[0]++ }), policy.CodeIDBlock, "4645", "4545", "id_keys"},
		{"no id block", fullSNP, snp(func(f *attest.SNPFacts) { f.IDKeyDigest = nil }), policy.CodeIDBlock, "nothing", "", ""},
		{"no author key", fullSNP, snp(func(f *attest.SNPFacts) { f.AuthorKeyDigest = nil }), policy.CodeIDBlock, "nothing", "4646", "author_keys"},
		{"an older guest", fullSNP, snp(func(f *attest.SNPFacts) { f.GuestSVN = 6 }), policy.CodeIDBlock, "6", "at least 7", "min_guest_svn"},

		{"no log of pods", fullSNP, log(func(r *attest.Result) { r.PodLog = nil }), policy.CodePodLog, "none", "one", "workload"},
		{"another register", fullSNP, log(func(r *attest.Result) { r.PodLog.Register = "rtmr3" }), policy.CodePodLog, "rtmr3", "pcr14 or none", "workload.registers"},
		{"not ready", fullSNP, log(func(r *attest.Result) { delete(r.PodLog.Events, "ready") }), policy.CodeEvent, "0 times", "at least once", "workload.required_events[1]"},
		{"an attempt", fullSNP, log(func(r *attest.Result) { r.PodLog.Events["exec-attempt"] = 2 }), policy.CodeAccessPath, "2 times", "never", "workload.forbid[0]"},
		{"ssh", fullSNP, log(func(r *attest.Result) { r.PodLog.AccessPaths = []string{"ssh"} }), policy.CodeAccessPath, "open", "never", "workload.forbid[1]"},
		{"no proof", fullSNP, log(func(r *attest.Result) { r.Transparency = nil }), policy.CodeInclusion, "no proof", "in it", "transparency.require_inclusion"},
		{"not included", fullSNP, log(func(r *attest.Result) { r.Transparency.Included = false }), policy.CodeInclusion, "not among 9", "", ""},

		{"earlier round", fullTDX, tdx(func(f *attest.TDXFacts) { f.TCBEvaluation = 16 }), policy.CodeTCBStatus, "16", "at least 17", "tcb.min_evaluation"},
		{"another advisory", fullTDX, tdx(func(f *attest.TDXFacts) { f.Advisories = []string{"INTEL-SA-00001", "INTEL-SA-00003"} }), policy.CodeTCBStatus, "INTEL-SA-00003", "none but", "tcb.advisories"},
		{"config id", fullTDX, tdx(func(f *attest.TDXFacts) { f.MRConfigID = nil }), policy.CodeHostData, "nothing", "5151", "mr_config_ids"},
		{"owner", fullTDX, tdx(func(f *attest.TDXFacts) { f.MROwner[0]++ }), policy.CodeHostData, "53", "5252", "mr_owners"},
		{"owner's config", fullTDX, tdx(func(f *attest.TDXFacts) { f.MROwnerConfig[0]++ }), policy.CodeHostData, "54", "5353", "mr_owner_configs"},
		{"exceptions", fullTDX, tdx(func(f *attest.TDXFacts) { f.SEPTVEDisable = false }), policy.CodePlatformSetup, "on", "off", "sept_ve_disable"},
		{"tdx without a boot log", fullTDX, tdx(func(f *attest.TDXFacts) { f.Boot = nil }), policy.CodeMeasurement, "nothing", "event log", "reference[0].boot"},
		{"an event more", fullTDX, tdx(func(f *attest.TDXFacts) { f.Boot.Events[2] = append(f.Boot.Events[2], fill(9, 48)) }), policy.CodeMeasurement, "beside them 0909", "exactly the 2", "boot.events.2"},
		{"an event less", fullTDX, tdx(func(f *attest.TDXFacts) { f.Boot.Events[2] = f.Boot.Events[2][1:] }), policy.CodeMeasurement, "all but 6262", "", ""},
		{"a register that was not replayed", fullTDX, tdx(func(f *attest.TDXFacts) { delete(f.Boot.Events, 2) }), policy.CodeMeasurement, "not replayed", "", ""},

		{"another key", fullTPM, tpm(func(f *attest.TPMFacts) { f.AKName[0]++ }), policy.CodePlatform, "0c0b", "0b0b", "policy line 6: reference[0].aks"},
		{"no key", fullTPM, tpm(func(f *attest.TPMFacts) { f.AKName = nil }), policy.CodeInternal, "no facts", "", ""},
		{"no endorsement key and none pinned", tpmPolicy, change(tpmResult(), func(r *attest.Result) { r.TPM.EKFingerprint = [32]byte{} }), policy.CodeInternal, "no facts", "", ""},
		{"no boot log", fullTPM, tpm(func(f *attest.TPMFacts) { f.Boot = nil }), policy.CodePCRValue, "nothing that was replayed", "event log", "reference[0].boot"},
		{"secure boot off", fullTPM, boot(func(b *attest.BootFacts) { b.SecureBoot = ptr(false) }), policy.CodePCRValue, "off", "on", "policy line 8: reference[0].boot.secure_boot"},
		{"secure boot not proven", fullTPM, boot(func(b *attest.BootFacts) {
			b.SecureBoot, b.Missing = nil, []attest.BootMissing{{Fact: "secure_boot", Why: "a debugger\x1b was attached"}}
		}), policy.CodePCRValue, "not proven: a debugger? was attached", "on", ""},
		{"pk", fullTPM, boot(func(b *attest.BootFacts) { b.PK = nil }), policy.CodePCRValue, "not proven", "sha256:0101", "boot.keys.pk"},
		{"db", fullTPM, boot(func(b *attest.BootFacts) { b.DB = ptr(print32(9)) }), policy.CodePCRValue, "sha256:0909", "sha256:0303", "boot.keys.db"},
		{"dbx", fullTPM, boot(func(b *attest.BootFacts) { b.DBX = ptr(print32(9)) }), policy.CodePCRValue, "sha256:0909", "sha256:0404", "boot.keys.dbx"},
		{"another program", fullTPM, boot(func(b *attest.BootFacts) { b.Images = append(b.Images, fill(0x77, 32)) }), policy.CodePCRValue, "7777", "none but 6161", "boot.images"},
		{"no programs", fullTPM, boot(func(b *attest.BootFacts) { b.Images = nil }), policy.CodePCRValue, "not proven", "", "boot.images"},
		{"another firmware", fullTPM, boot(func(b *attest.BootFacts) { b.Firmware[0][0]++ }), policy.CodePCRValue, "6463", "none but 6363", "boot.firmware"},
		{"firmware version", fullTPM, boot(func(b *attest.BootFacts) { b.FirmwareVersion = ptr("0.9\x1b[2J") }), policy.CodePCRValue, `"0.9?[2J"`, `"1.0"`, "firmware_versions"},
		{"command line", fullTPM, boot(func(b *attest.BootFacts) { b.CommandLine = ptr("init=/bin/sh") }), policy.CodePCRValue, "init=/bin/sh", "quiet", "command_lines"},
		{"no command line", fullTPM, boot(func(b *attest.BootFacts) { b.CommandLine = nil }), policy.CodePCRValue, "not proven", "", ""},
		{"load options", fullTPM, boot(func(b *attest.BootFacts) { b.LoadOptions = nil }), policy.CodePCRValue, "not proven", "6464", "load_options"},
		{"initial disk", fullTPM, boot(func(b *attest.BootFacts) { b.Initrd[0]++ }), policy.CodePCRValue, "6665", "6565", "initrds"},
		{"no section", fullTPM, boot(func(b *attest.BootFacts) { b.Sections = nil }), policy.CodePCRValue, "not proven", "6666", "sections..linux"},
		{"another section", fullTPM, boot(func(b *attest.BootFacts) { b.Sections[0].Digest[0]++ }), policy.CodePCRValue, "6766", "6666", ""},
		{"a section twice", fullTPM, boot(func(b *attest.BootFacts) { b.Sections = append(b.Sections, b.Sections[0]) }), policy.CodePCRValue, "2 of that name", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := parse(t, tt.text).Appraise(tt.result, now)
			c, failed := v.Failed()
			if v.Affirmed || !failed || c.Code != tt.code {
				t.Fatalf("want %s, got\n%s", tt.code, policy.ExplainVerdict(v))
			}
			if !strings.Contains(c.Got, tt.got) || !strings.Contains(c.Want, tt.want) || !strings.Contains(c.Policy, tt.asked) {
				t.Errorf("got %+v", c)
			}
			if strings.ContainsRune(c.Got, 0x1b) {
				t.Error("a check carries a terminal's codes")
			}
		})
	}
}

func TestFullPoliciesRefused(t *testing.T) {
	for name, tt := range map[string]struct{ text, old, new, want string }{
		"product":            {fullSNP, "[Milan, Genoa]", "[Milann]", `line 8: reference[0].products[0]: got "Milann", want Milan`},
		"platform":           {fullSNP, "[tsme, ecc,", "[tsme, tsme,", `reference[0].platform[1]: got "tsme" a second time`},
		"platform word":      {fullSNP, "[tsme,", "[everything,", `reference[0].platform[0]: got "everything", want one of`},
		"requirement":        {fullSNP, "single_socket", "single_soket", `guest_policy.require[0]: got "single_soket", want single_socket`},
		"abi":                {fullSNP, `"1.55",`, `"1",`, `guest_policy.min_abi: got "1", want a version`},
		"firmware":           {fullSNP, `"1.55.21"`, `"1.55.256"`, `min_firmware: got "1.55.256"`},
		"svn without key":    {fullSNP, `    id_keys: ["` + hex96(0x45) + `"]` + "\n", "", "min_guest_svn: got a version that nobody signs, want id_keys"},
		"short host data":    {fullSNP, hexOf(0x44, 32), "44", "host_data[0]: got 1 bytes, want 32"},
		"zero id key":        {fullSNP, hex96(0x45), hex96(0), "id_keys[0]: got all zeros"},
		"policy name":        {fullSNP, "name: shop", "name: a b", `name: got "a b"`},
		"log register":       {fullSNP, "[pcr14, none]", "[pcr16]", `workload.registers[0]: got "pcr16", want`},
		"event":              {fullSNP, "[config, ready]", "[config, redy]", `workload.required_events[1]: got "redy", want ready`},
		"access path":        {fullSNP, "exec-attempt, ssh", "exec-attempt, SSH", `workload.forbid[1]: got "SSH"`},
		"both":               {fullSNP, "exec-attempt, ssh", "ready", "workload.forbid[0]: got ready, which required_events demands"},
		"inclusion":          {fullSNP, "require_inclusion: true", "require_inclusion: maybe", `transparency.require_inclusion: got "maybe"`},
		"short ak":           {fullTPM, hexOf(0x0b, 34), hexOf(0x0b, 32), "aks[0]: got 32 bytes, want 34"},
		"zero ak":            {fullTPM, hexOf(0x0b, 34), hexOf(0, 34), "aks[0]: got all zeros"},
		"variable":           {fullTPM, "dbx:", "mok:", "boot.keys.mok: got an unknown field"},
		"section":            {fullTPM, ".linux", "linux", `boot.sections.linux: got "linux"`},
		"resettable":         {fullTPM, "events: {9:", "events: {16:", "boot.events.16: got register 16"},
		"image of no bank":   {fullTPM, hex64(0x61), "61", "boot.images[0]: got 1 bytes"},
		"text with escapes":  {fullTPM, `["1.0"]`, `["1\e[0m"]`, `boot.firmware_versions[0]: got "1?[0m", want printable text`},
		"rtmr of pod log":    {fullTDX, "events: {2:", "events: {3:", "boot.events.3: got register 3"},
		"image of sha256":    {fullTDX, hex96(0x61), hex64(0x61), "boot.images[0]: got 32 bytes"},
		"advisory":           {fullTDX, "INTEL-SA-00002", "all", `tcb.advisories[1]: got "all"`},
		"boot in a report's": {softPolicy, "tee: soft", "tee: soft, boot: {events: {16: [\"" + hex64(1) + "\"]}}", "reference[0].boot.events.16: got register 16"},
		"snp in tpm2":        {fullTPM, "tee: tpm2", "tee: tpm2\n    products: [Milan]\n    platform: [ecc]", "reference[0].products: got a field of sev-snp"},
		"ek in tdx":          {fullTDX, "tee: tdx", "tee: tdx\n    ek: [\"sha256:" + hex64(0x0b) + "\"]", "reference[0].ek: got a field of tpm2"},
		"short aks in tdx":   {fullTDX, "tee: tdx", "tee: tdx\n    aks: [\"" + hexOf(0x0b, 33) + "\"]", "reference[0].aks[0]: got 33 bytes"},
		"aks of zeros":       {fullSNP, "tee: sev-snp", "tee: sev-snp\n    aks: [\"" + hexOf(0, 34) + "\"]", "reference[0].aks[0]: got all zeros"},
		"a list in tdx":      {fullTDX, "tee: tdx", "tee: tdx\n    require_crl: true", "reference[0].require_crl: got a field of sev-snp"},
		"a list perhaps":     {fullSNP, "require_crl: true", "require_crl: yes", "reference[0].require_crl: got"},
		"boot says nothing":  {identityPolicy, "tee: tpm2,", "tee: tpm2, boot: {secure_boot: true},", "reference[0].boot: got nothing that says what booted"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse([]byte(strings.Replace(tt.text, tt.old, tt.new, 1)))
			var e *status.Error
			if p != nil || !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			var all []string
			for _, f := range e.Faults {
				all = append(all, f.String())
			}
			if text := strings.Join(all, "\n"); !strings.Contains(text, tt.want) {
				t.Errorf("got %s, want %s", text, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	if got := parse(t, fullTPM).AKNames(); len(got) != 1 || got[0] != [policy.AKNameSize]byte(fill(0x0b, 34)) {
		t.Errorf("got %x", got)
	}
	both := strings.Replace(fullTPM, "    boot:", "    ek: [\"sha256:"+hex64(0xe1)+"\"]\n    boot:", 1)
	if got := parse(t, both).AKNames(); got != nil {
		t.Errorf("a key beside an endorsement key counts alone: %x", got)
	}
	// Keys of a level that is not accepted are none.
	unused := *parse(t, fullTPM)
	unused.Trust.Levels = []attest.Level{attest.LevelSNP}
	if got := unused.AKNames(); got != nil {
		t.Errorf("got %x", got)
	}
	if d := cmp.Diff([]uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14}, parse(t, fullTPM).PCRs()); d != "" {
		t.Error(d)
	}
	p := parse(t, fullSNP)
	if own := p.Own(); !p.WantsPodLog() || !p.WantsInclusion() || own.WantsPodLog() || own.WantsInclusion() {
		t.Error("a provider is asked for what it cannot be shown")
	}
	alone := change(fullSNPResult(), func(r *attest.Result) { r.PodLog, r.Transparency = nil, nil })
	if v := p.Own().Appraise(alone, now); !v.Affirmed {
		t.Error(policy.SummaryLine(v))
	}
}

// TestFromFull writes down what full results show: it passes, is free of
// errors, and a change of any of it does not pass.
func TestFromFull(t *testing.T) {
	grub := fullTPMResult()
	grub.TPM.EKFingerprint, grub.TPM.EKRootFingerprint = print32(0xe1), print32(0xe0)
	grub.TPM.Boot.Script = []string{"grub_cmd: linux /vmlinuz"}
	for name, r := range map[string]*attest.Result{"snp": fullSNPResult(), "tdx": fullTDXResult(), "tpm": fullTPMResult(), "grub": grub} {
		t.Run(name, func(t *testing.T) {
			text := string(policy.FromResult([]*attest.Result{r}).Marshal())
			golden(t, "from-full-"+name+".yaml", text)
			p := parse(t, text)
			if v := p.Appraise(r, now); !v.Affirmed {
				t.Error(policy.ExplainVerdict(v))
			}
			for _, f := range policy.Lint(p) {
				if f.Severity == policy.SeverityError {
					t.Error(f)
				}
			}
		})
	}
	p := policy.FromResult([]*attest.Result{fullSNPResult()})
	old := fullSNPResult()
	old.SNP.Platform.AliasCheck = false
	if v := p.Appraise(old, now); v.Affirmed {
		t.Error("a machine that is set up worse passes")
	}
}

func TestLintMeasuredBoot(t *testing.T) {
	set := func(values string) string { return tpmPolicy[:strings.Index(tpmPolicy, "        4:")] + values }
	value := `["` + hex64(1) + `"]`
	for name, tt := range map[string]struct{ text, want, not string }{
		"firmware only":  {set("        0: " + value + "\n        7: " + value + "\n"), "error: line 11: reference[0].pcrs.values: no register that covers the provider's software", ""},
		"four registers": {set("        0: " + value + "\n        2: " + value + "\n        4: " + value + "\n        7: " + value + "\n"), "warning: line 11: reference[0].pcrs.values: register 4 covers the provider's software only where", "error:"},
		"grub":           {set("        0: " + value + "\n        4: " + value + "\n        8: " + value + "\n        9: " + value + "\n"), "", "covers"},
		"boot log":       {fullTPM, "", "covers"},
		"floors":         {fullSNP, "warning: line 11: reference[0].min_committed_tcb: below min_tcb", ""},
		"no firmware":    {strings.Replace(fullTPM, `      firmware: ["`+hex64(0x63)+`"]`+"\n", "", 1), "the firmware is not pinned", "error:"},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for _, f := range policy.Lint(parse(t, tt.text)) {
				lines = append(lines, f.String())
			}
			all := strings.Join(lines, "\n")
			if !strings.Contains(all, tt.want) || tt.not != "" && strings.Contains(all, tt.not) {
				t.Errorf("got\n%s", all)
			}
		})
	}
}

func BenchmarkAppraise(b *testing.B) {
	for name, tt := range map[string]struct {
		text   string
		result *attest.Result
	}{"snp": {fullSNP, fullSNPResult()}, "tdx": {fullTDX, fullTDXResult()}, "tpm": {fullTPM, fullTPMResult()}} {
		b.Run(name, func(b *testing.B) {
			p := parse(b, tt.text)
			b.ReportAllocs()
			for b.Loop() {
				if !p.Appraise(tt.result, now).Affirmed {
					b.Fatal("denied")
				}
			}
		})
	}
}
