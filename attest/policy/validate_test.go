package policy_test

import (
	"strings"
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
)

// TestValidationOfBuiltPolicies tries what no file can say.
func TestValidationOfBuiltPolicies(t *testing.T) {
	for name, f := range map[string]func(p *policy.Policy){
		"version":          func(p *policy.Policy) { p.Version = -1 },
		"privilege level":  func(p *policy.Policy) { p.Reference[0].VMPL = 4 },
		"negative level":   func(p *policy.Policy) { p.Reference[0].VMPL = -1 },
		"no measurement":   func(p *policy.Policy) { p.Reference[0].Measurement = [][]byte{nil} },
		"tdx":              func(p *policy.Policy) { p.Reference[0].TEE = attest.TDX },
		"register over 23": func(p *policy.Policy) { p.Reference[1].PCRs.Values[24] = [][]byte{fill(1, 32)} },
		"no value":         func(p *policy.Policy) { p.Reference[1].PCRs.Values[4] = nil },
		"short value":      func(p *policy.Policy) { p.Reference[1].PCRs.Values[4] = [][]byte{{1}} },
		"no register":      func(p *policy.Policy) { p.Reference[1].PCRs = &policy.PCRs{Bank: "sha256"} },
		"empty offer":      func(p *policy.Policy) { p.Offer = &policy.Offer{} },
		"name":             func(p *policy.Policy) { p.Reference[0].Name = "a\nunverified: true" },
	} {
		t.Run(name, func(t *testing.T) {
			p := policy.FromResult([]*attest.Result{snpResult(), tpmResult()})
			for _, r := range []*attest.Result{snpResult(), tpmResult()} {
				if v := p.Appraise(r, now); !v.Affirmed {
					t.Fatal(policy.SummaryLine(v))
				}
			}
			f(p)
			for _, r := range []*attest.Result{snpResult(), tpmResult()} {
				v := p.Appraise(r, now)
				if c, _ := v.Failed(); v.Affirmed || c.Code != policy.CodePolicyInvalid {
					t.Errorf("got %s", policy.SummaryLine(v))
				}
			}
			if len(policy.Lint(p)) == 0 || policy.Lint(p)[0].Severity != policy.SeverityError {
				t.Errorf("lint says %v", policy.Lint(p))
			}
			if _, err := policy.Parse(p.Marshal()); err == nil {
				t.Errorf("the file is accepted:\n%s", p.Marshal())
			}
		})
	}
}

func TestManyAlternatives(t *testing.T) {
	var list []string
	for i := range byte(5) {
		list = append(list, `"`+hex96(0x20+i)+`"`)
	}
	p := parse(t, edit(t, snpPolicy, `"`+hex96(0x11)+`"`, strings.Join(list, ", ")))
	c, _ := p.Appraise(snpResult(), now).Failed()
	if c.Code != policy.CodeMeasurement || !strings.HasSuffix(c.Want, hex96(0x22)+" or one of 2 more") {
		t.Errorf("got %+v", c)
	}
}
