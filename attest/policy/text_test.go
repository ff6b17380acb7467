package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
)

func TestExplainGolden(t *testing.T) {
	faulty := *parse(t, snpPolicy)
	faulty.Reference = append(faulty.Reference, policy.ReferenceSet{Name: "any", TEE: attest.SEVSNP})
	for name, p := range map[string]*policy.Policy{
		"snp": parse(t, "unverified: true\n"+snpPolicy), "soft": parse(t, softPolicy), "tpm": parse(t, tpmPolicy), "identity": parse(t, identityPolicy), "tdx": parse(t, tdxPolicy),
		"root":    parse(t, edit(t, edit(t, tpmPolicy, "    ek: [\"sha256:"+hex64(0xe1)+"\"]\n", ""), "        7:", "        12:")),
		"builtin": policy.Builtin(), "zero": {}, "nil": nil, "faulty": &faulty,
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "explain-"+name+".txt", strings.Join(policy.Explain(p), "\n")+"\n")
		})
	}
}

func TestLint(t *testing.T) {
	withoutList := snpPolicy
	snpPolicy := edit(t, snpPolicy, "    guest_policy: {smt: true}\n", "    guest_policy: {smt: true}\n    require_crl: true\n")
	zeros := edit(t, tpmPolicy, `7: ["`+hex64(8)+`"]`, `14: ["`+hex64(0)+`", "`+hex64(0xff)+`"]`)
	reset := parse(t, tpmPolicy)
	reset.Reference[0].PCRs.Values[16] = [][]byte{fill(1, 32)}
	anything := parse(t, snpPolicy)
	anything.Reference[0].Measurement = nil
	for name, tt := range map[string]struct {
		p    *policy.Policy
		want []string
	}{
		"nil":      {nil, []string{"error: policy: there is none"}},
		"good":     {parse(t, snpPolicy), nil},
		"zero":     {&policy.Policy{}, []string{"error: version: got nothing", "error: trust.levels: got nothing", "error: freshness.max_age: got 0s", "warning: reference: nothing can pass"}},
		"built-in": {policy.Builtin(), []string{"warning: reference: nothing can pass without a reference set", "warning: offer: any price"}},
		"unverified": {
			parse(t, snpPolicy+"unverified: true\n"),
			[]string{"warning: line 14: unverified: the reference values were copied"},
		},
		"no revocation list": {
			parse(t, withoutList),
			[]string{"warning: line 5: reference[0].require_crl: a provider may leave AMD's revocation list out"},
		},
		"no floor": {
			parse(t, edit(t, snpPolicy, "    min_tcb: {bootloader: 4, tee: 1, snp: 23, microcode: 213}\n", "")),
			[]string{"error: line 5: reference[0].min_tcb: no firmware floor"},
		},
		"floor of zero": {
			parse(t, edit(t, snpPolicy, "{bootloader: 4, tee: 1, snp: 23, microcode: 213}", "{snp: 0}")),
			[]string{"error: line 9: reference[0].min_tcb: no firmware floor"},
		},
		"soft": {parse(t, softPolicy), []string{"warning: line 2: trust.levels[0]: NOT SECURE"}},
		"CA without effect": {
			parse(t, snpPolicy+"dev: {soft_ca: [\"sha256:"+hex64(1)+"\"]}\n"),
			[]string{"warning: line 14: dev.soft_ca: has no effect"},
		},
		"level without a set": {
			parse(t, edit(t, snpPolicy, "[sev-snp]", "[sev-snp, tdx]")),
			[]string{"warning: line 3: trust.levels[1]: no reference set proves tdx"},
		},
		"identity": {parse(t, identityPolicy), []string{"warning: line 2: trust.levels[0]: not a TEE: it proves which machine", "warning: offer"}},
		"measured": {parse(t, tpmPolicy), []string{"warning: line 3: trust.levels[0]: not a TEE: it proves what booted", "warning: offer", "warning: line 11: reference[0].pcrs.values: register 4 covers"}},
		"registers": {parse(t, zeros), []string{
			"warning: line 3: trust.levels[0]: not a TEE", "warning: offer", "register 4 covers",
			"warning: line 13: reference[0].pcrs.values.14: the pod log", "values.14: the value of a register that nothing", "values.14: the value of a register that nothing",
			"warning: line 11: reference[0].pcrs.values: register 7 (secure boot) is not pinned",
		}},
		"tdx": {
			parse(t, edit(t, edit(t, tdxPolicy, "      2:", "      3:"), "SWHardeningNeeded", "OutOfDate")),
			[]string{
				"offer: any price", "warning: line 11: reference[0].rtmrs.3: the pod log", "warning: line 8: reference[0].rtmrs: register 2 (command line and initial disk) is not pinned",
				"error: line 12: reference[0].tcb.status[1]: no firmware floor", "warning: line 12: reference[0].tcb.grace: firmware with known holes is accepted for 336h",
			},
		},
		"reset":    {reset, []string{"error: line 11: reference[0].pcrs.values.16: got register 16", "warning", "warning", "register 4 covers"}},
		"anything": {anything, []string{"error: line 7: reference[0].measurement: got nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.Lint(tt.p)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i, f := range got {
				if !strings.Contains(f.String(), tt.want[i]) {
					t.Errorf("got %q, want %q", f, tt.want[i])
				}
			}
		})
	}
}

func TestSummaryLine(t *testing.T) {
	denied := parse(t, snpPolicy).Appraise(softResult(), now)
	hostile := attest.Verdict{Affirmed: true, Level: "x", Platform: "a\nb", Warnings: []string{"w\x1b[2J"}}
	for _, tt := range []struct {
		name, got, want string
	}{
		{"affirmed", policy.SummaryLine(parse(t, snpPolicy).Appraise(snpResult(), now)), "affirmed: sev-snp, platform 4891e00a13c5813f, until 2026-11-21T12:05:00Z"},
		{"tpm", policy.SummaryLine(parse(t, "unverified: true\n"+tpmPolicy).Appraise(tpmResult(), now)), "affirmed: tpm2-measured-boot, platform e1e1e1e1e1e1e1e1, until 2026-11-21T12:01:30Z (the policy is unverified; not a TEE)"},
		{"denied", policy.SummaryLine(denied), "denied: ATT-150 level: got a software device, which proves nothing about the machine, want sev-snp (policy line 3: trust.levels) (NOT SECURE)"},
		{"zero", policy.SummaryLine(attest.Verdict{}), "denied: no appraisal was completed"},
		{"hostile", policy.SummaryLine(hostile), "affirmed: x, platform a?b, until no time (w?[2J)"},
		{"no platform", policy.SummaryLine(attest.Verdict{Affirmed: true, Level: "x"}), "affirmed: x, platform unknown, until no time"},
	} {
		if d := cmp.Diff(tt.want, tt.got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestExplainVerdictGolden(t *testing.T) {
	wrong := tpmResult()
	wrong.TPM.PCRs[7].Value[0] ^= 1
	hostile := attest.Verdict{Checks: []attest.Check{{Code: "ATT-020", Name: "a\nb", Got: "x\ty\x1b[2J", Want: ""}}, Warnings: []string{"a\nb"}}
	for name, v := range map[string]attest.Verdict{
		"snp": parse(t, snpPolicy).Appraise(snpResult(), now), "soft": parse(t, softPolicy).Appraise(softResult(), now),
		"tpm": parse(t, tpmPolicy).Appraise(tpmResult(), now), "denied": parse(t, tpmPolicy).Appraise(wrong, now),
		"builtin": policy.Builtin().Appraise(snpResult(), now), "zero": {}, "hostile": hostile,
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "verdict-"+name+".txt", policy.ExplainVerdict(v))
		})
	}
}

func Example() {
	p, err := policy.Parse([]byte(tpmPolicy))
	if err != nil {
		panic(err)
	}
	fmt.Println(p.AcceptTypes())
	// result is what package verify found; now is the time of the answer.
	result, now := tpmResult(), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	verdict := p.Appraise(result, now)
	fmt.Println(policy.SummaryLine(verdict))
	// Output:
	// [tpm2]
	// affirmed: tpm2-measured-boot, platform e1e1e1e1e1e1e1e1, until 2026-11-21T12:01:30Z (not a TEE)
}

func ExampleParse() {
	_, err := policy.Parse([]byte("version: 1\ntrust: {level: [sev-snp]}\n"))
	fmt.Println(err)
	_, err = policy.Parse([]byte("version: 1\ntrust: {levels: [sev-snp]}\nreferences: []\n"))
	fmt.Println(err)
	// Output:
	// policy has 2 faults
	// policy: line 3: references: got an unknown field, want reference
}
