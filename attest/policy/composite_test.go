package policy_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
)

// withTPM puts a quote by a key that the report names beside it.
func withTPM(r *attest.Result) *attest.Result {
	f := tpmResult().TPM
	f.EKFingerprint, f.EKRootFingerprint = [32]byte{}, [32]byte{}
	f.AKName, f.AKBinding = fill(0x0b, policy.AKNameSize), attest.AKReported
	r.TPM = f
	return r
}

const withBoot = "tee: sev-snp\n    boot: {secure_boot: true}"

func TestComposite(t *testing.T) {
	t.Parallel()
	pcrs := func(b byte) string { return `pcrs: {bank: sha256, values: {4: ["` + hex64(b) + `"]}}` }
	for _, kind := range []struct {
		name, text, tee string
		result          func() *attest.Result
		anchor          attest.Anchor
	}{
		{"soft", softPolicy, "tee: soft, ", softResult, attest.AnchorSelf},
		{"sev-snp", snpPolicy, "tee: sev-snp\n    ", snpResult, attest.AnchorVTPMHardware},
		{"tdx", tdxPolicy, "tee: tdx\n    ", tdxResult, attest.AnchorVTPMHardware},
	} {
		field := strings.TrimRight(kind.tee, " \n,")
		with := func(b byte) string {
			return edit(t, kind.text, field, kind.tee+pcrs(b))
		}
		keyed := func(b byte) string {
			return edit(t, kind.text, field, kind.tee+`aks: ["`+hexOf(b, policy.AKNameSize)+`"]`)
		}
		for name, tt := range map[string]struct {
			text   string
			result *attest.Result
			code   string
		}{
			"its registers":        {with(5), withTPM(kind.result()), ""},
			"no demand":            {kind.text, withTPM(kind.result()), ""},
			"no demand and no TPM": {kind.text, kind.result(), ""},
			"other registers":      {with(6), withTPM(kind.result()), policy.CodePCRValue},
			"its key":              {keyed(0x0b), withTPM(kind.result()), ""},
			"another key":          {keyed(0x0c), withTPM(kind.result()), policy.CodePlatform},
			"its key, and no TPM":  {keyed(0x0b), kind.result(), policy.CodePCRSelection},
			"its key, which the report does not name": {keyed(0x0b), func() *attest.Result {
				r := withTPM(kind.result())
				r.TPM.AKBinding = attest.AKPinned
				return r
			}(), policy.CodePCRSelection},
			"no TPM": {with(5), kind.result(), policy.CodePCRSelection},
			"a register not quoted": {with(5), func() *attest.Result {
				r := withTPM(kind.result())
				r.TPM.PCRs = r.TPM.PCRs[:4]
				return r
			}(), policy.CodePCRSelection},
			"a key that the report does not name": {with(5), func() *attest.Result {
				r := withTPM(kind.result())
				r.TPM.AKBinding = attest.AKPinned
				return r
			}(), policy.CodePCRSelection},
		} {
			t.Run(kind.name+", "+name, func(t *testing.T) {
				p := parse(t, tt.text)
				v := p.Appraise(tt.result, now)
				c, failed := v.Failed()
				if v.Affirmed != (tt.code == "") || failed && c.Code != tt.code {
					t.Fatalf("got %t, %+v", v.Affirmed, c)
				}
				if v.Level != tt.result.Level {
					t.Errorf("level %s", v.Level)
				}
				for _, c := range v.Checks {
					if (c.Code == policy.CodePCRValue || c.Code == policy.CodePCRSelection) && c.Anchor != kind.anchor {
						t.Errorf("%s: anchor %s", c.Name, c.Anchor)
					}
				}
				if again := parse(t, string(p.Marshal())); !bytes.Equal(again.Marshal(), p.Marshal()) || again.Digest() != p.Digest() {
					t.Errorf("reads back as %s", again.Marshal())
				}
				if demanded := strings.Contains(tt.text, "pcrs:"); slices.ContainsFunc(policy.Explain(p), func(s string) bool { return strings.Contains(s, "register 4 (boot loader)") }) != demanded {
					t.Errorf("explained as %q", policy.Explain(p))
				}
				if keyed := strings.Contains(tt.text, "aks:"); slices.ContainsFunc(policy.Explain(p), func(s string) bool { return strings.Contains(s, "whose attestation key the report names") }) != keyed {
					t.Errorf("explained as %q", policy.Explain(p))
				}
			})
		}
		t.Run(kind.name+", from", func(t *testing.T) {
			p := policy.FromResult([]*attest.Result{withTPM(kind.result())})
			s := p.Reference[0]
			if s.PCRs == nil || len(s.PCRs.Values) != 4 || len(s.EK)+len(s.AKs)+len(p.Trust.EKRoots) != 0 {
				t.Fatalf("got %s", p.Marshal())
			}
			if v := parse(t, string(p.Marshal())).Appraise(withTPM(kind.result()), now); !v.Affirmed {
				t.Errorf("got %+v", v.Checks)
			}
		})
	}
}

// TestReportedKeyIsNotPinned: a key that counts beside a report is not one that
// a TPM alone may be believed for.
func TestReportedKeyIsNotPinned(t *testing.T) {
	t.Parallel()
	text := edit(t, snpPolicy, "tee: sev-snp", "tee: sev-snp\n    aks: [\""+hexOf(0x0b, policy.AKNameSize)+"\"]")
	text = edit(t, text, "[sev-snp]", "[sev-snp, tpm2-identity]")
	p := parse(t, text)
	if names := p.AKNames(); len(names) > 0 {
		t.Errorf("got %x", names)
	}
	r := withTPM(snpResult())
	r.Level, r.SNP, r.TPM.AKBinding = attest.LevelTPMIdentity, nil, attest.AKPinned
	if v := p.Appraise(r, now); v.Affirmed {
		t.Errorf("a TPM alone: got %+v", v.Checks)
	}
	p = parse(t, edit(t, text, "reference:\n", "reference:\n  - {name: server, tee: tpm2, aks: [\""+hexOf(0x0c, policy.AKNameSize)+"\"]}\n"))
	if names := p.AKNames(); len(names) != 1 || names[0][0] != 0x0c {
		t.Errorf("got %x", names)
	}
	if v := p.Appraise(r, now); v.Affirmed {
		t.Errorf("beside another set: got %+v", v.Checks)
	}
}

// TestCompositeBoot: the boot log beside a report is the TPM's.
func TestCompositeBoot(t *testing.T) {
	t.Parallel()
	p := parse(t, edit(t, snpPolicy, "tee: sev-snp", withBoot))
	yes, no := true, false
	for name, tt := range map[string]struct {
		boot *attest.BootFacts
		ok   bool
	}{
		"on": {&attest.BootFacts{SecureBoot: &yes}, true}, "off": {&attest.BootFacts{SecureBoot: &no}, false},
		"not proven": {&attest.BootFacts{}, false}, "no log": {nil, false},
	} {
		r := withTPM(snpResult())
		r.TPM.Boot = tt.boot
		v := p.Appraise(r, now)
		if v.Affirmed != tt.ok {
			t.Errorf("%s: got %+v", name, v.Checks)
		}
		if c := v.Checks[len(v.Checks)-1]; !tt.ok && (c.Code != policy.CodePCRValue || c.Anchor != attest.AnchorVTPMHardware) {
			t.Errorf("%s: got %+v", name, c)
		}
	}
	if v := p.Appraise(snpResult(), now); v.Affirmed {
		t.Error("without a TPM")
	}
}

// TestNoEndorsementKey: facts of a key that nobody certified pass no demand of an
// endorsement key, and those of a pinned one only under its name.
func TestNoEndorsementKey(t *testing.T) {
	t.Parallel()
	ak := func(b byte) string {
		return edit(t, identityPolicy, `ek: ["sha256:`+hex64(0xe1)+`"]`, `aks: ["`+hexOf(b, policy.AKNameSize)+`"]`)
	}
	r := withTPM(snpResult())
	r.Level, r.SNP, r.TPM.AKBinding = attest.LevelTPMIdentity, nil, attest.AKPinned
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"its key": {ak(0x0b), true}, "another": {ak(0x0c), false}, "an endorsement key": {identityPolicy, false},
		"both": {edit(t, ak(0x0b), "aks:", `ek: ["sha256:`+hex64(0xe1)+`"], aks:`), false},
	} {
		if v := parse(t, tt.text).Appraise(r, now); v.Affirmed != tt.ok {
			t.Errorf("%s: got %+v", name, v.Checks)
		}
	}
}

// TestCompositeLog: register 14 of a TPM that a report names is worth what the
// report is, and no more.
func TestCompositeLog(t *testing.T) {
	t.Parallel()
	p := parse(t, snpPolicy+"workload: {registers: [pcr14]}\n")
	r := withTPM(snpResult())
	r.PodLog = &attest.PodLogFacts{Register: "pcr14", Length: 3}
	v := p.Appraise(r, now)
	if c := v.Checks[len(v.Checks)-1]; !v.Affirmed || c.Anchor != attest.AnchorVTPMHardware {
		t.Errorf("got %+v", c)
	}
}
