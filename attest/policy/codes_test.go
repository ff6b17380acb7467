package policy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
)

// codes are the constants of codes.go, by name.
func codes(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all[v.Names[0].Name] = s
		}
		return true
	})
	return all
}

// TestEveryCodeIsProvoked has, for each code of this package, something that
// gets it; and the table of the threat model names all of them.
func TestEveryCodeIsProvoked(t *testing.T) {
	of := func(text string, r *attest.Result) func() attest.Check {
		return func() attest.Check {
			c, _ := parse(t, text).Appraise(r, now).Failed()
			return c
		}
	}
	snp := func(f func(*attest.SNPFacts)) *attest.Result {
		return change(fullSNPResult(), func(r *attest.Result) { f(r.SNP) })
	}
	tpm := func(f func(*attest.TPMFacts)) *attest.Result {
		return change(tpmResult(), func(r *attest.Result) { f(r.TPM) })
	}
	full := func(f func(*attest.Result)) *attest.Result { return change(fullSNPResult(), f) }
	builds := func(f func(*attest.BuildFacts)) func() attest.Check {
		return func() attest.Check {
			b := built()
			f(&b)
			c, _ := appraiseBuilds(t, provenancePolicy, []string{built().ImageID}, b)
			return c
		}
	}
	provoke := map[string]func() attest.Check{
		policy.CodeExpired:         of(snpPolicy, change(snpResult(), func(r *attest.Result) { r.Claims.ExpiresAt = now })),
		policy.CodeNoCollateral:    of(fullSNP, snp(func(f *attest.SNPFacts) { f.CRLExpires = now })),
		policy.CodeDebug:           of(fullSNP, snp(func(f *attest.SNPFacts) { f.Debug = true })),
		policy.CodeMigratable:      of(fullSNP, snp(func(f *attest.SNPFacts) { f.Migratable = true })),
		policy.CodeVMPL:            of(fullSNP, snp(func(f *attest.SNPFacts) { f.VMPL = 1 })),
		policy.CodeGuestPolicy:     of(fullSNP, snp(func(f *attest.SNPFacts) { f.SMT = true })),
		policy.CodePlatformSetup:   of(fullSNP, snp(func(f *attest.SNPFacts) { f.Platform.ECC = false })),
		policy.CodeTCBFloor:        of(fullSNP, snp(func(f *attest.SNPFacts) { f.ReportedTCB = 0 })),
		policy.CodeTCBStatus:       of(tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus = "Revoked" })),
		policy.CodeTCBGrace:        of(tdxPolicy, tdx(func(f *attest.TDXFacts) { f.TCBStatus, f.TCBDate = "OutOfDate", now.Add(-1000*3600e9) })),
		policy.CodeNoReferenceSet:  of(edit(t, snpPolicy, "[sev-snp]", "[sev-snp, tdx]"), tdxResult()),
		policy.CodeMeasurement:     of(fullSNP, snp(func(f *attest.SNPFacts) { f.Measurement[0]++ })),
		policy.CodeHostData:        of(fullSNP, snp(func(f *attest.SNPFacts) { f.HostData = nil })),
		policy.CodeIDBlock:         of(fullSNP, snp(func(f *attest.SNPFacts) { f.IDKeyDigest = nil })),
		policy.CodePlatform:        of(snpPolicy, change(snpResult(), func(r *attest.Result) { r.SNP.ChipID[0]++ })),
		policy.CodeEKRoot:          of(tpmPolicy, tpm(func(f *attest.TPMFacts) { f.EKRootFingerprint[0]++ })),
		policy.CodePCRSelection:    of(tpmPolicy, tpm(func(f *attest.TPMFacts) { f.PCRs = f.PCRs[5:] })),
		policy.CodePCRValue:        of(tpmPolicy, tpm(func(f *attest.TPMFacts) { f.PCRs[4].Value[0]++ })),
		policy.CodePodLog:          of(fullSNP, full(func(r *attest.Result) { r.PodLog = nil })),
		policy.CodeEvent:           of(fullSNP, full(func(r *attest.Result) { r.PodLog.Events = nil })),
		policy.CodeAccessPath:      of(fullSNP, full(func(r *attest.Result) { r.PodLog.AccessPaths = []string{"ssh"} })),
		policy.CodeInclusion:       of(fullSNP, full(func(r *attest.Result) { r.Transparency = nil })),
		policy.CodeProvenance:      builds(func(b *attest.BuildFacts) { b.ImageID = "" }),
		policy.CodeSource:          builds(func(b *attest.BuildFacts) { b.Branch = "" }),
		policy.CodeSigner:          builds(func(b *attest.BuildFacts) { b.Signer = nil }),
		policy.CodeBuilt:           builds(func(b *attest.BuildFacts) { b.Runtime = "" }),
		policy.CodeLogged:          builds(func(b *attest.BuildFacts) { b.Logged = false }),
		policy.CodeOffer:           func() attest.Check { return parse(t, snpPolicy).AppraiseOffer("1", "USD") },
		policy.CodeDevMode:         of(snpPolicy, softResult()),
		policy.CodeLevel:           of(softPolicy, snpResult()),
		policy.CodePolicyInvalid:   func() attest.Check { c, _ := (&policy.Policy{}).Appraise(snpResult(), now).Failed(); return c },
		policy.CodeRollback:        func() attest.Check { return parse(t, snpPolicy).CheckVersion(4) },
		policy.CodePolicySignature: func() attest.Check { return policy.CheckSignature([]byte(snpPolicy), nil, make([]byte, 32)) },
		policy.CodeStorage:         of(snpPolicy, change(snpResult(), func(r *attest.Result) { r.Claims.Storage = "" })),
		policy.CodeInternal:        of(snpPolicy, nil),
	}
	table, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, code := range codes(t) {
		f := provoke[code]
		if f == nil {
			t.Errorf("%s (%s) is never provoked", name, code)
			continue
		}
		c := f()
		if c.OK || c.Code != code || c.Got == "" || c.Want == "" {
			t.Errorf("%s: got %+v", name, c)
		}
		row := ""
		for line := range strings.Lines(string(table)) {
			if strings.HasPrefix(line, "| "+code+" |") {
				row = line
			}
		}
		if columns := strings.Split(row, "|"); len(columns) < 5 || !strings.Contains(columns[3], "P") {
			t.Errorf("the table of attest/README.md has no P for %s: %q", code, row)
		}
	}
}
