package bootlog

import (
	"bytes"
	"crypto/sha256"
)

// secureVariables follow SecureBoot when firmware measures the policy (PFP
// 1.06, 3.3.4.8).
var secureVariables = map[variableName]func(*Facts) **Fact[[32]byte]{
	{globalVariable, "PK"}:    func(f *Facts) **Fact[[32]byte] { return &f.PK },
	{globalVariable, "KEK"}:   func(f *Facts) **Fact[[32]byte] { return &f.KEK },
	{securityDatabase, "db"}:  func(f *Facts) **Fact[[32]byte] { return &f.DB },
	{securityDatabase, "dbx"}: func(f *Facts) **Fact[[32]byte] { return &f.DBX },
}

type variableName struct {
	vendor guid
	name   string
}

// secureBoot reads the Secure Boot policy.
//
// Somebody who boots with it off and extends the register with the digest of
// the variable's other value afterwards comes after the separator. Somebody who
// had firmware measure that digest before it, as the contents of a boot option,
// which share RTMR 0 and are hashed without a name, made a second one of the
// variable's possible digests: exactly one may be there. The keys are only those
// that stand right behind it, for the same reason.
func (x *extraction) secureBoot(register int) {
	ms, ok := x.regs[register]
	if !ok {
		return
	}
	const fact = "secure_boot"
	field := x.kind.field(register)
	end, ok := x.separator(ms)
	if !ok {
		x.miss(fact, "%s has no separator", field)
		return
	}
	states := map[string]bool{}
	for _, s := range [][]byte{{1}, {0}, {}} {
		v := variable{vendor: globalVariable, name: "SecureBoot", data: s}
		states[string(x.bank.sum(v.encode()))] = len(s) == 1 && s[0] == 1
	}
	debugger := x.bank.sum([]byte("UEFI Debug Mode"))
	at := -1
	for i, m := range ms[:end] {
		if bytes.Equal(m.Digest, debugger) {
			x.miss(fact, "a UEFI debugger was attached")
			return
		}
		if _, is := states[string(m.Digest)]; !is {
			continue
		}
		if at >= 0 {
			x.miss(fact, "%s has the variable SecureBoot twice", field)
			return
		}
		at = i
	}
	if at < 0 || !ms[at].Verified {
		x.miss(fact, "%s does not show the variable SecureBoot", field)
		return
	}
	x.f.SecureBoot = &Fact[bool]{Value: states[string(ms[at].Digest)], Register: field, Events: []int{ms[at].Index}}
	for _, m := range ms[at+1 : end] {
		if !x.secureVariable(field, m) {
			return
		}
	}
}

// secureVariable takes one of the variables behind SecureBoot, and reports
// whether it was one. A second of the same name ends them.
func (x *extraction) secureVariable(field string, m Measurement) bool {
	// A part of the data would be no variable: whole ones are hashed whole.
	v, ok := parseVariable(m.Content)
	if !m.Verified || !ok {
		return false
	}
	slot, ok := secureVariables[variableName{v.vendor, v.name}]
	if !ok {
		return false
	}
	to := slot(&x.f)
	if *to != nil {
		return false
	}
	*to = &Fact[[32]byte]{Value: sha256.Sum256(v.data), Register: field, Events: []int{m.Index}}
	return true
}
