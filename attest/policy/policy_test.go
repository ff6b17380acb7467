package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
)

func TestAccessors(t *testing.T) {
	all := edit(t, softPolicy, "[soft]", "[soft, tpm2-identity, sev-snp, tpm2-measured-boot, tdx]\n  ek_roots: [\"sha256:"+hex64(7)+"\"]")
	all = edit(t, edit(t, all, "trust: {", "trust:\n  "), "\"]}\nref", "\"]\nref")
	var none *policy.Policy
	unused := *parse(t, softPolicy)
	unused.Trust = policy.Trust{Levels: []attest.Level{attest.LevelSNP}, EKRoots: [][32]byte{print32(7)}}
	base := []uint32{0, 1, 2, 3, 4, 5, 6, 7, 14}
	for name, tt := range map[string]struct {
		p     *policy.Policy
		types []attest.Type
		cas   [][32]byte
		roots [][32]byte
		pcrs  []uint32
	}{
		"nil":      {none, nil, nil, nil, base},
		"zero":     {&policy.Policy{}, nil, nil, nil, base},
		"built-in": {policy.Builtin(), []attest.Type{attest.TDX, attest.SEVSNP}, nil, nil, base},
		"soft":     {parse(t, softPolicy), []attest.Type{attest.Soft}, [][32]byte{print32(0x50)}, nil, base},
		"tpm2":     {parse(t, tpmPolicy), []attest.Type{attest.TPM2}, nil, [][32]byte{print32(0xe0)}, base},
		"identity": {parse(t, identityPolicy), []attest.Type{attest.TPM2}, nil, nil, base},
		"register": {parse(t, edit(t, tpmPolicy, "        7:", "        11:")), []attest.Type{attest.TPM2}, nil, [][32]byte{print32(0xe0)}, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 11, 14}},
		"all":      {parse(t, all), []attest.Type{attest.TDX, attest.SEVSNP, attest.TPM2, attest.Soft}, [][32]byte{print32(0x50)}, [][32]byte{print32(7)}, base},
		// Roots of a level that is not accepted are no roots.
		"unused": {&unused, []attest.Type{attest.SEVSNP}, nil, nil, base},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tt.types, tt.p.AcceptTypes()); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.cas, tt.p.SoftCAs()); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.roots, tt.p.EKRoots()); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.pcrs, tt.p.PCRs()); d != "" {
				t.Error(d)
			}
		})
	}
	p := parse(t, softPolicy)
	p.SoftCAs()[0][0]++
	if p.Dev.SoftCA[0] != print32(0x50) {
		t.Error("a caller can change the policy")
	}
}

func TestMarshalIsCanonical(t *testing.T) {
	for name, text := range map[string]string{
		"snp": "unverified: true\n" + snpPolicy, "soft": softPolicy, "tpm": tpmPolicy, "identity": identityPolicy, "tdx": tdxPolicy,
		"builtin": string(policy.Builtin().Marshal()),
		"turin":   edit(t, edit(t, snpPolicy, "{bootloader: 4", "{fmc: 2, bootloader: 4"), "guest_policy: {smt: true}", "vmpl: 1"),
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, text)
			once := p.Marshal()
			again := parse(t, string(once))
			if d := cmp.Diff(p, again, ignoreLines); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(string(once), string(again.Marshal())); d != "" {
				t.Error(d)
			}
			if p.Digest() != again.Digest() {
				t.Error("the digest changed")
			}
			golden(t, "marshal-"+name+".yaml", string(once))
		})
	}
}

func TestDigest(t *testing.T) {
	base := parse(t, snpPolicy).Digest()
	if parse(t, "# a comment\n"+edit(t, snpPolicy, "tee: sev-snp", "tee:   sev-snp # x")).Digest() != base {
		t.Error("comments and spaces count")
	}
	for old, replacement := range map[string]string{
		"version: 3": "version: 4", "[sev-snp]": "[sev-snp, tdx]", hex96(0x11): hex96(0x12), "microcode: 213": "microcode: 212",
		"smt: true": "smt: false", "0.10": "0.11", "USD": "EUR", "protected: true": "protected: false", "storage:": "unverified: true\nstorage:",
		"offer:": "freshness: {max_age: 9m}\noffer:", "name: milan": "name: other", "    min_tcb:": "    vmpl: 1\n    min_tcb:",
	} {
		if parse(t, edit(t, snpPolicy, old, replacement)).Digest() == base {
			t.Errorf("%q for %q does not change the digest", replacement, old)
		}
	}
}

func TestAppraiseOffer(t *testing.T) {
	const caip = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
	limited := parse(t, snpPolicy)
	open := parse(t, softPolicy)
	token := parse(t, edit(t, snpPolicy, "asset: USD", `asset: "`+caip+`"`))
	var none *policy.Policy
	for _, tt := range []struct {
		name           string
		p              *policy.Policy
		perHour, asset string
		ok             bool
		code           string
	}{
		{"cheaper", limited, "0.09", "USD", true, policy.CodeOffer},
		{"equal", limited, "0.1", "USD", true, policy.CodeOffer},
		{"equal with zeros", limited, "000.1000", "USD", true, policy.CodeOffer},
		{"free", limited, "0", "USD", true, policy.CodeOffer},
		{"free in any asset", limited, "0.000", "", true, policy.CodeOffer},
		{"dearer by little", limited, "0.10000000000000000001", "USD", false, policy.CodeOffer},
		{"dearer", limited, "1", "USD", false, policy.CodeOffer},
		{"another asset", limited, "0.01", "EUR", false, policy.CodeOffer},
		{"another spelling", limited, "0.01", "usd", false, policy.CodeOffer},
		{"no asset", limited, "0.01", "", false, policy.CodeOffer},
		{"no price", limited, "", "USD", false, policy.CodeOffer},
		{"negative", limited, "-1", "USD", false, policy.CodeOffer},
		{"signed", limited, "+0.01", "USD", false, policy.CodeOffer},
		{"exponent", limited, "1e-9", "USD", false, policy.CodeOffer},
		{"fraction", limited, "1/100", "USD", false, policy.CodeOffer},
		{"underscore", limited, "0_1", "USD", false, policy.CodeOffer},
		{"comma", limited, "0,01", "USD", false, policy.CodeOffer},
		{"space", limited, " 0.01", "USD", false, policy.CodeOffer},
		{"not a number", limited, "NaN", "USD", false, policy.CodeOffer},
		{"without end", limited, "0." + strings.Repeat("0", 1<<20), "USD", false, policy.CodeOffer},
		{"token", token, "0.05", caip, true, policy.CodeOffer},
		{"another token", token, "0.05", caip + "0", false, policy.CodeOffer},
		{"any price", open, "1000", "XAU", true, policy.CodeOffer},
		{"any price must be one", open, "many", "XAU", false, policy.CodeOffer},
		{"nil policy", none, "0", "USD", false, policy.CodePolicyInvalid},
		{"zero policy", &policy.Policy{}, "0", "USD", false, policy.CodePolicyInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.p.AppraiseOffer(tt.perHour, tt.asset)
			if c.OK != tt.ok || c.Code != tt.code || c.Got == "" || c.Want == "" || len(c.Got) > 400 {
				t.Errorf("got %+v", c)
			}
		})
	}
	if c := limited.AppraiseOffer("0.2", "USD"); c.Policy != "policy line 11: offer.max_price_per_hour" || c.Got != "0.2 USD per hour" || c.Want != "at most 0.10 USD per hour" {
		t.Errorf("got %+v", c)
	}
	if c := limited.AppraiseOffer("0.2", "a\x1b[2J"); c.Got != "0.2 a?[2J per hour" {
		t.Errorf("got %+v", c)
	}
}

func TestFromResult(t *testing.T) {
	masked := snpResult()
	masked.SNP.ChipID = make([]byte, 64)
	masked.SNP.Product = "Unknown"
	otherSoft := softResult()
	otherSoft.SNP.RootFingerprint = print32(0x51)
	otherFirmware := snpResult()
	otherFirmware.SNP.LaunchTCB -= 1
	otherFirmware.SNP.SMT = false
	otherFirmware.SNP.VMPL = 1
	sha384 := tpmResult()
	for i := range sha384.TPM.PCRs {
		sha384.TPM.PCRs[i].Bank, sha384.TPM.PCRs[i].Value = "sha384", fill(byte(i), 48)
	}
	bare := tpmResult()
	bare.TPM.PCRs, bare.TPM.EKRootFingerprint = bare.TPM.PCRs[8:], [32]byte{}
	tdx := tdxResult()
	later := tdxResult()
	later.TDX.RTMRs[3] = fill(9, 48)
	otherBoot := tdxResult()
	otherBoot.TDX.RTMRs[2] = fill(9, 48)
	for name, tt := range map[string]struct {
		results  []*attest.Result
		affirmed []*attest.Result
		denied   []*attest.Result
	}{
		"snp":        {[]*attest.Result{snpResult()}, []*attest.Result{snpResult()}, []*attest.Result{softResult(), tpmResult(), masked, otherFirmware}},
		"masked":     {[]*attest.Result{masked}, []*attest.Result{masked, snpResult()}, []*attest.Result{softResult()}},
		"firmwares":  {[]*attest.Result{snpResult(), otherFirmware, snpResult()}, []*attest.Result{snpResult(), otherFirmware}, []*attest.Result{masked}},
		"soft":       {[]*attest.Result{softResult()}, []*attest.Result{softResult()}, []*attest.Result{snpResult(), otherSoft, tpmResult()}},
		"two softs":  {[]*attest.Result{softResult(), otherSoft}, []*attest.Result{softResult(), otherSoft}, []*attest.Result{snpResult()}},
		"tpm":        {[]*attest.Result{tpmResult()}, []*attest.Result{tpmResult()}, []*attest.Result{softResult(), snpResult(), sha384, bare}},
		"tpm sha384": {[]*attest.Result{sha384}, []*attest.Result{sha384}, []*attest.Result{tpmResult()}},
		"tpm bare":   {[]*attest.Result{bare}, []*attest.Result{bare, tpmResult()}, []*attest.Result{snpResult()}},
		"mixed":      {[]*attest.Result{nil, tpmResult(), snpResult(), tdx}, []*attest.Result{tpmResult(), snpResult(), tdx}, []*attest.Result{softResult(), otherBoot}},
		"tdx":        {[]*attest.Result{tdx}, []*attest.Result{tdx, later}, []*attest.Result{snpResult(), otherBoot}},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy.FromResult(tt.results)
			text := string(p.Marshal())
			golden(t, "from-"+strings.ReplaceAll(name, " ", "-")+".yaml", text)
			p = parse(t, text)
			if !p.Unverified {
				t.Error("the policy is not marked unverified")
			}
			for i, r := range tt.affirmed {
				v := p.Appraise(r, now)
				if !v.Affirmed || len(v.Warnings) == 0 || !strings.HasPrefix(v.Warnings[0], policy.WarnUnverified) {
					t.Errorf("%d: %s", i, policy.SummaryLine(v))
				}
			}
			for i, r := range tt.denied {
				if v := p.Appraise(r, now); v.Affirmed {
					t.Errorf("%d: %s", i, policy.SummaryLine(v))
				}
			}
		})
	}
	debug := snpResult()
	debug.SNP.Debug = true
	if v := policy.FromResult([]*attest.Result{debug}).Appraise(debug, now); v.Affirmed {
		t.Error("a policy was made from a guest that can be debugged, and it passes")
	}
	// Later changes of a result are none of the policy's.
	r := snpResult()
	p := policy.FromResult([]*attest.Result{r})
	r.SNP.Measurement[0]++
	if v := p.Appraise(snpResult(), now); !v.Affirmed {
		t.Error("the policy shares memory with the result")
	}
}

// TestFromResultStorage demands protected storage only where nobody shows the other.
func TestFromResultStorage(t *testing.T) {
	open := change(snpResult(), func(r *attest.Result) { r.Claims.Storage = "none" })
	unsaid := change(snpResult(), func(r *attest.Result) { r.Claims.Storage = "" })
	for name, tt := range map[string]struct {
		results []*attest.Result
		want    bool
	}{
		"nobody": {nil, false}, "nil": {[]*attest.Result{nil}, false}, "protected": {[]*attest.Result{snpResult(), tpmResult()}, true},
		"open": {[]*attest.Result{open}, false}, "unsaid": {[]*attest.Result{unsaid}, false},
		"one of two": {[]*attest.Result{snpResult(), open}, false}, "the other of two": {[]*attest.Result{open, snpResult()}, false},
	} {
		if got := policy.FromResult(tt.results).Storage.Protected; got != tt.want {
			t.Errorf("%s: protected storage is demanded: %v", name, got)
		}
	}
}
