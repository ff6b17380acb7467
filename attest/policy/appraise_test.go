package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
)

func TestAffirms(t *testing.T) {
	tests := []struct {
		name     string
		policy   string
		result   *attest.Result
		level    attest.Level
		platform string
		warnings []string
		lifetime time.Duration
	}{
		{"sev-snp", snpPolicy, snpResult(), attest.LevelSNP, "4891e00a", nil, 5 * time.Minute},
		{"soft", softPolicy, softResult(), attest.LevelSoft, "4891e00a", []string{policy.WarnNotSecure}, 5 * time.Minute},
		{"measured boot", tpmPolicy, tpmResult(), attest.LevelTPMMeasuredBoot, "e1e1e1e1", []string{policy.WarnNotTEE}, 90 * time.Second},
		{"identity", identityPolicy, tpmResult(), attest.LevelTPMIdentity, "e1e1e1e1", []string{policy.WarnNotTEE}, 5 * time.Minute},
		{"tdx", tdxPolicy, tdxResult(), attest.LevelTDX, "70707070", nil, 5 * time.Minute},
		{"tdx in its grace", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus, f.TCBDate = "OutOfDate", now.Add(-336*time.Hour) }), attest.LevelTDX, "70707070", []string{policy.WarnTCBStatus}, 5 * time.Minute},
		{"tdx to be hardened", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus = "SWHardeningNeeded" }), attest.LevelTDX, "70707070", []string{policy.WarnTCBStatus}, 5 * time.Minute},
		{"open storage", edit(t, snpPolicy, "storage: {protected: true}\n", ""), change(snpResult(), func(r *attest.Result) { r.Claims.Storage = "none" }), attest.LevelSNP, "4891e00a", []string{policy.WarnStorage}, 5 * time.Minute},
		{"storage unsaid", edit(t, snpPolicy, "storage: {protected: true}\n", ""), change(snpResult(), func(r *attest.Result) { r.Claims.Storage = "" }), attest.LevelSNP, "4891e00a", []string{policy.WarnStorage}, 5 * time.Minute},
		{"storage in memory", snpPolicy, change(snpResult(), func(r *attest.Result) { r.Claims.Storage = "tmpfs" }), attest.LevelSNP, "4891e00a", nil, 5 * time.Minute},
		{"unverified", "unverified: true\n" + snpPolicy, snpResult(), attest.LevelSNP, "4891e00a", []string{policy.WarnUnverified}, 5 * time.Minute},
		{"no floor", edit(t, snpPolicy, "    min_tcb: {bootloader: 4, tee: 1, snp: 23, microcode: 213}\n", ""), snpResult(), attest.LevelSNP, "4891e00a", []string{policy.WarnNoTCBFloor}, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := parse(t, tt.policy).Appraise(tt.result, now)
			if c, failed := v.Failed(); failed || !v.Affirmed {
				t.Fatalf("denied by %+v", c)
			}
			if v.Level != tt.level || !strings.HasPrefix(v.Platform, tt.platform) || len(v.Platform) != 64 {
				t.Errorf("level %s, platform %s", v.Level, v.Platform)
			}
			if !v.ExpiresAt.Equal(now.Add(tt.lifetime)) {
				t.Errorf("expires %s, want %s after now", v.ExpiresAt, tt.lifetime)
			}
			var heads []string
			for _, w := range v.Warnings {
				head, _, _ := strings.Cut(w, ":")
				heads = append(heads, head)
			}
			if d := cmp.Diff(tt.warnings, heads); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.result.Checks, v.Checks[:len(tt.result.Checks)]); d != "" {
				t.Errorf("the checks of verification come first: %s", d)
			}
			for _, c := range v.Checks {
				if c.Code == "" || c.Name == "" || c.Got == "" || c.Want == "" {
					t.Errorf("a check says too little: %+v", c)
				}
			}
		})
	}
}

// change is a result with one thing wrong.
func change(r *attest.Result, f func(r *attest.Result)) *attest.Result {
	f(r)
	return r
}

func TestDenies(t *testing.T) {
	type result = *attest.Result
	snp := func(f func(s *attest.SNPFacts)) result { return change(snpResult(), func(r result) { f(r.SNP) }) }
	soft := func(f func(s *attest.SNPFacts)) result { return change(softResult(), func(r result) { f(r.SNP) }) }
	tpm := func(f func(s *attest.TPMFacts)) result { return change(tpmResult(), func(r result) { f(r.TPM) }) }
	tests := []struct {
		name   string
		policy string
		result result
		code   string
		// got, want and asked are parts of the failing check.
		got, want, asked string
	}{
		{"nothing", snpPolicy, nil, policy.CodeInternal, "nothing", "verified", ""},
		{"no checks", snpPolicy, change(snpResult(), func(r result) { r.Checks = nil }), policy.CodeInternal, "no check made", "verified", ""},
		{"failed verification", snpPolicy, change(snpResult(), func(r result) { r.Checks = append(r.Checks, attest.Check{Code: "ATT-040", Got: "x"}) }), "ATT-040", "x", "", ""},
		{"no claims", snpPolicy, change(snpResult(), func(r result) { r.Claims = nil }), policy.CodeInternal, "no claims", "", ""},
		{"expired claims", snpPolicy, change(snpResult(), func(r result) { r.Claims.ExpiresAt = now }), policy.CodeExpired, "2026-11-21T12:00:00Z", "after 2026-11-21T12:00:00Z", ""},
		{"claims without an end", snpPolicy, change(snpResult(), func(r result) { r.Claims.ExpiresAt = time.Time{} }), policy.CodeExpired, "no time", "", ""},
		{"no level", snpPolicy, change(snpResult(), func(r result) { r.Level = "" }), policy.CodeLevel, "nothing", "sev-snp", "policy line 3: trust.levels"},
		{"unknown level", snpPolicy, change(snpResult(), func(r result) { r.Level = "sgx" }), policy.CodeLevel, "sgx", "sev-snp", "line 3"},

		{"soft where sev-snp is wanted", snpPolicy, softResult(), policy.CodeDevMode, "software device", "sev-snp", "line 3"},
		{"soft under another CA", softPolicy, soft(func(s *attest.SNPFacts) { s.RootFingerprint = print32(0x51) }), policy.CodeDevMode, "sha256:5151", "sha256:5050", "policy line 6: dev.soft_ca"},
		{"soft without a CA", softPolicy, soft(func(s *attest.SNPFacts) { s.RootFingerprint = [32]byte{} }), policy.CodeDevMode, "sha256:0000", "sha256:5050", "dev.soft_ca"},
		{"soft without a report", softPolicy, change(softResult(), func(r result) { r.SNP = nil }), policy.CodeInternal, "no facts", "soft", ""},
		{"soft of another program", softPolicy, soft(func(s *attest.SNPFacts) { s.Measurement[0] ^= 1 }), policy.CodeMeasurement, "1011", "1111", "policy line 4: reference[0].measurement"},
		{"soft that claims to be sev-snp", edit(t, edit(t, softPolicy, "[soft]", "[soft, sev-snp]"), "tee: soft", "tee: sev-snp"), change(softResult(), func(r result) { r.Level = attest.LevelSNP }), policy.CodeDevMode, "development CA", "vendor", "dev.soft_ca"},
		{"soft for a set of sev-snp", edit(t, edit(t, softPolicy, "[soft]", "[soft, sev-snp]"), "tee: soft", "tee: sev-snp"), softResult(), policy.CodeNoReferenceSet, "no reference set for soft", "policy init --from", "reference"},
		{"sev-snp for a set of soft", edit(t, softPolicy, "[soft]", "[soft, sev-snp]"), snpResult(), policy.CodeNoReferenceSet, "no reference set for sev-snp", "", ""},
		{"sev-snp where soft is wanted", softPolicy, snpResult(), policy.CodeLevel, "sev-snp", "soft", "line 2"},

		{"no report", snpPolicy, change(snpResult(), func(r result) { r.SNP = nil }), policy.CodeInternal, "no facts", "sev-snp", ""},
		{"a quote in place of a report", snpPolicy, change(tpmResult(), func(r result) { r.Level = attest.LevelSNP }), policy.CodeInternal, "no facts", "", ""},
		{"debug", snpPolicy, snp(func(s *attest.SNPFacts) { s.Debug = true }), policy.CodeDebug, "on", "off", ""},
		{"debug on soft", softPolicy, soft(func(s *attest.SNPFacts) { s.Debug = true }), policy.CodeDebug, "on", "off", ""},
		{"migratable", snpPolicy, snp(func(s *attest.SNPFacts) { s.Migratable = true }), policy.CodeMigratable, "on", "off", ""},
		{"privilege level", snpPolicy, snp(func(s *attest.SNPFacts) { s.VMPL = 3 }), policy.CodeVMPL, "3", "0", "policy line 5: reference[0].vmpl"},
		{"higher privilege than named", edit(t, snpPolicy, "guest_policy: {smt: true}", "guest_policy: {smt: true}\n    vmpl: 2"), snpResult(), policy.CodeVMPL, "0", "2", "policy line 11"},
		{"smt", edit(t, snpPolicy, "    guest_policy: {smt: true}\n", ""), snpResult(), policy.CodeGuestPolicy, "smt on", "smt off", "guest_policy.smt"},
		{"smt said to be off", edit(t, snpPolicy, "smt: true", "smt: false"), snpResult(), policy.CodeGuestPolicy, "smt on", "smt off", "policy line 10"},
		{"old reported firmware", snpPolicy, snp(func(s *attest.SNPFacts) { s.ReportedTCB -= 1 << 56 }), policy.CodeTCBFloor, "reported microcode 212 (want 213)", "bootloader: 4", "policy line 9: reference[0].min_tcb"},
		{"old committed firmware", snpPolicy, snp(func(s *attest.SNPFacts) { s.CommittedTCB -= 1 << 48 }), policy.CodeTCBFloor, "committed snp 22 (want 23)", "", ""},
		{"old launch firmware", snpPolicy, snp(func(s *attest.SNPFacts) { s.LaunchTCB -= 1 }), policy.CodeTCBFloor, "launch bootloader 3 (want 4)", "", ""},
		{"no firmware version", snpPolicy, snp(func(s *attest.SNPFacts) { s.LaunchTCB = 0 }), policy.CodeTCBFloor, "launch bootloader 0 (want 4), tee 0 (want 1), snp 0", "", ""},
		{"unknown product", snpPolicy, snp(func(s *attest.SNPFacts) { s.Product = "Venice" }), policy.CodeTCBFloor, "Venice", "", ""},
		{"another layout", snpPolicy, snp(func(s *attest.SNPFacts) { s.Product = "Turin-B1" }), policy.CodeTCBFloor, "bootloader 1", "", ""},
		{"fmc on a chip without", edit(t, snpPolicy, "{bootloader: 4", "{fmc: 1, bootloader: 4"), snpResult(), policy.CodeTCBFloor, "fmc 0 (want 1)", "fmc: 1", ""},
		{"measurement", snpPolicy, snp(func(s *attest.SNPFacts) { s.Measurement[47] ^= 1 }), policy.CodeMeasurement, "1110", "1111", "policy line 7: reference[0].measurement"},
		{"short measurement", snpPolicy, snp(func(s *attest.SNPFacts) { s.Measurement = s.Measurement[:47] }), policy.CodeMeasurement, "11", "11", ""},
		{"no measurement", snpPolicy, snp(func(s *attest.SNPFacts) { s.Measurement = nil }), policy.CodeMeasurement, "nothing", "1111", ""},
		{"another chip", snpPolicy, snp(func(s *attest.SNPFacts) { s.ChipID[0] ^= 1 }), policy.CodePlatform, "c0c1", "c1c1", "policy line 8: reference[0].chip_ids"},
		{"no chip", snpPolicy, snp(func(s *attest.SNPFacts) { s.ChipID = nil }), policy.CodePlatform, "nothing", "c1c1", ""},
		{"masked chip", snpPolicy, snp(func(s *attest.SNPFacts) { s.ChipID = make([]byte, 64) }), policy.CodePlatform, "0000", "c1c1", ""},
		{"open storage", snpPolicy, change(snpResult(), func(r result) { r.Claims.Storage = "none" }), policy.CodeStorage, `"none"`, "fscrypt or tmpfs", "policy line 12: storage.protected"},
		{"unsaid storage", snpPolicy, change(snpResult(), func(r result) { r.Claims.Storage = "" }), policy.CodeStorage, "nothing", "", ""},
		{"storage with a terminal's codes", snpPolicy, change(snpResult(), func(r result) { r.Claims.Storage = "fscrypt\x1b[2J" }), policy.CodeStorage, `"fscrypt?[2J"`, "", ""},

		{"tdx without a set", edit(t, snpPolicy, "[sev-snp]", "[sev-snp, tdx]"), tdxResult(), policy.CodeNoReferenceSet, "tdx", "policy init --from PROVIDER", "reference"},
		{"tdx where sev-snp is wanted", snpPolicy, tdxResult(), policy.CodeLevel, "tdx", "sev-snp", "line 3"},
		{"tdx without a quote", tdxPolicy, change(tdxResult(), func(r result) { r.TDX = nil }), policy.CodeInternal, "no facts", "tdx", ""},
		{"no platform", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.PlatformID = [32]byte{} }), policy.CodeInternal, "no facts", "", ""},
		{"tdx debugging", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.Debug = true }), policy.CodeDebug, "on", "off", ""},
		{"tdx migration", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.Migratable = true }), policy.CodeMigratable, "on", "off", ""},
		{"another mrtd", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.MRTD[0] ^= 1 }), policy.CodeMeasurement, "2021", "2121", "policy line 6: reference[0].mrtd"},
		{"no mrtd", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.MRTD = nil }), policy.CodeMeasurement, "nothing", "2121", ""},
		{"another module", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.MRSEAM[0] ^= 1 }), policy.CodeMeasurement, "2322", "2222", "policy line 7: reference[0].mrseam"},
		{"another rtmr", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.RTMRs[1][0] ^= 1 }), policy.CodeMeasurement, "3031", "3131", "policy line 10: reference[0].rtmrs.1"},
		{"no rtmr", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.RTMRs[1] = nil }), policy.CodeMeasurement, "nothing", "3131", ""},
		{"another machine", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.PlatformID[0] ^= 1 }), policy.CodePlatform, "7170", "7070", "policy line 13: reference[0].platforms"},
		{"needs configuration", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus = "ConfigurationNeeded" }), policy.CodeTCBStatus, "ConfigurationNeeded", "UpToDate, SWHardeningNeeded", "policy line 12: reference[0].tcb"},
		{"revoked", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus = "Revoked" }), policy.CodeTCBStatus, "Revoked", "", ""},
		{"no status", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus = "" }), policy.CodeTCBStatus, "", "", ""},
		{"out of grace", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus, f.TCBDate = "OutOfDate", now.Add(-337*time.Hour) }), policy.CodeTCBGrace, "OutOfDate, at a level of", "at most 336h", "policy line 12"},
		{"dated in the future", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus, f.TCBDate = "OutOfDate", now.Add(time.Hour) }), policy.CodeTCBGrace, "", "", ""},
		{"not dated", tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus, f.TCBDate = "OutOfDate", time.Time{} }), policy.CodeTCBGrace, "", "", ""},
		{"out of date without grace", edit(t, tdxPolicy, ", grace: 336h", ""), tdx(func(f *attest.TDXFacts) { f.TCBStatus = "OutOfDate" }), policy.CodeTCBStatus, "OutOfDate", "UpToDate", ""},
		{"tpm where sev-snp is wanted", snpPolicy, tpmResult(), policy.CodeLevel, "tpm2", "sev-snp", "line 3"},
		{"no quote", tpmPolicy, change(tpmResult(), func(r result) { r.TPM = nil }), policy.CodeInternal, "no facts", "tpm2", ""},
		{"no endorsement key", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.EKFingerprint = [32]byte{} }), policy.CodeInternal, "no facts", "", ""},
		{"another endorsement root", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.EKRootFingerprint = print32(9) }), policy.CodeEKRoot, "0909", "e0e0", "policy line 4: trust.ek_roots"},
		{"no endorsement root", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.EKRootFingerprint = [32]byte{} }), policy.CodeEKRoot, "0000", "e0e0", ""},
		{"another TPM", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.EKFingerprint = print32(9) }), policy.CodePlatform, "0909", "e1e1", "policy line 14: reference[0].ek"},
		{"another TPM without registers", identityPolicy, tpm(func(s *attest.TPMFacts) { s.EKFingerprint = print32(9) }), policy.CodePlatform, "0909", "e1e1", "policy line 4"},
		{"another register value", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.PCRs[7].Value[0] ^= 1 }), policy.CodePCRValue, "0908", "0808", "policy line 13: reference[0].pcrs.values.7"},
		{"empty register value", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.PCRs[4].Value = nil }), policy.CodePCRValue, "nothing", "0505", "line 12"},
		{"register not quoted", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.PCRs = s.PCRs[:7] }), policy.CodePCRSelection, "0 times", "once", "line 13"},
		{"register quoted twice", tpmPolicy, tpm(func(s *attest.TPMFacts) {
			s.PCRs = append(s.PCRs, attest.PCR{Bank: "sha256", Index: 4, Value: fill(5, 32)})
		}), policy.CodePCRSelection, "2 times", "once", "line 12"},
		{"another bank", tpmPolicy, tpm(func(s *attest.TPMFacts) {
			for i := range s.PCRs {
				s.PCRs[i].Bank = "sha384"
			}
		}), policy.CodePCRSelection, "0 times", "once", "line 12"},
		{"no register", tpmPolicy, tpm(func(s *attest.TPMFacts) { s.PCRs = nil }), policy.CodePCRSelection, "0 times", "once", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := parse(t, tt.policy).Appraise(tt.result, now)
			c, failed := v.Failed()
			if v.Affirmed || !failed || !v.ExpiresAt.IsZero() {
				t.Fatalf("not denied: %+v", v)
			}
			if c.Code != tt.code || !strings.Contains(c.Got, tt.got) || !strings.Contains(c.Want, tt.want) || !strings.Contains(c.Policy, tt.asked) {
				t.Errorf("denied by %+v, want %s got %q want %q asked %q", c, tt.code, tt.got, tt.want, tt.asked)
			}
			if v.Checks[len(v.Checks)-1] != c {
				t.Error("the appraisal went on after the failure")
			}
		})
	}
}

func TestDeniesByDefault(t *testing.T) {
	var none *policy.Policy
	good := parse(t, snpPolicy)
	noLevel := *good
	noLevel.Trust = policy.Trust{}
	noMeasurement := *good
	noMeasurement.Reference = []policy.ReferenceSet{{Name: "any", TEE: attest.SEVSNP}}
	noAge := *good
	noAge.Freshness = policy.Freshness{}
	reset := *parse(t, tpmPolicy)
	reset.Reference = []policy.ReferenceSet{{Name: "x", TEE: attest.TPM2, PCRs: &policy.PCRs{Bank: "sha256", Values: map[uint32][][]byte{16: {fill(17, 32)}}}}}
	anyTPM := *parse(t, identityPolicy)
	anyTPM.Reference = []policy.ReferenceSet{{Name: "x", TEE: attest.TPM2}}
	for name, tt := range map[string]struct {
		p      *policy.Policy
		result *attest.Result
		now    time.Time
		code   string
	}{
		"nil policy":          {none, snpResult(), now, policy.CodePolicyInvalid},
		"zero policy":         {&policy.Policy{}, snpResult(), now, policy.CodePolicyInvalid},
		"zero policy, nil":    {&policy.Policy{}, nil, now, policy.CodeInternal},
		"no level":            {&noLevel, snpResult(), now, policy.CodePolicyInvalid},
		"no measurement":      {&noMeasurement, snpResult(), now, policy.CodePolicyInvalid},
		"no age":              {&noAge, snpResult(), now, policy.CodePolicyInvalid},
		"resettable register": {&reset, tpmResult(), now, policy.CodePolicyInvalid},
		"any TPM":             {&anyTPM, tpmResult(), now, policy.CodePolicyInvalid},
		"no time":             {good, snpResult(), time.Time{}, policy.CodeExpired},
		"built-in, sev-snp":   {policy.Builtin(), snpResult(), now, policy.CodeNoReferenceSet},
		"built-in, soft":      {policy.Builtin(), softResult(), now, policy.CodeDevMode},
		"built-in, tpm2":      {policy.Builtin(), tpmResult(), now, policy.CodeLevel},
		"from nothing":        {policy.FromResult(nil), snpResult(), now, policy.CodePolicyInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			v := tt.p.Appraise(tt.result, tt.now)
			c, failed := v.Failed()
			if v.Affirmed || !failed || c.Code != tt.code {
				t.Errorf("got %+v, want %s", v, tt.code)
			}
		})
	}
	c, _ := policy.Builtin().Appraise(snpResult(), now).Failed()
	if !strings.Contains(c.Want, "publisher policy init --from PROVIDER") || c.Policy != "built-in policy: reference" {
		t.Errorf("the built-in policy does not say what to do: %+v", c)
	}
}

func TestAnyOneSetInFull(t *testing.T) {
	second := `  - name: other
    tee: sev-snp
    measurement: ["` + hex96(0x22) + `", "` + hex96(0x11) + `"]
    chip_ids: ["` + strings.Repeat("c2", 64) + `"]
    guest_policy: {smt: true}
`
	p := parse(t, edit(t, snpPolicy, "offer:", second+"offer:"))
	for name, tt := range map[string]struct {
		measurement, chip byte
		affirmed          bool
		set               string
	}{
		"first":               {0x11, 0xc1, true, "milan"},
		"second":              {0x22, 0xc2, true, "other"},
		"second, other value": {0x11, 0xc2, true, "other"},
		"mixed":               {0x22, 0xc1, false, "milan"},
		"neither":             {0x33, 0xc3, false, "milan"},
	} {
		t.Run(name, func(t *testing.T) {
			r := snpResult()
			r.SNP.Measurement, r.SNP.ChipID = fill(tt.measurement, 48), fill(tt.chip, 64)
			v := p.Appraise(r, now)
			if v.Affirmed != tt.affirmed {
				t.Errorf("affirmed %t: %s", v.Affirmed, policy.SummaryLine(v))
			}
			if text := policy.ExplainVerdict(v); !strings.Contains(text, ", set "+tt.set) {
				t.Errorf("the set %s is not named:\n%s", tt.set, text)
			}
		})
	}
}
