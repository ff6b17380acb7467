package verify_test

import (
	"crypto/rand"
	"crypto/x509"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
)

// provocations has an input for each code that ends in that code. What else leads
// to it is in the tests of each subject.
var provocations = map[string]func(testing.TB) ([]attest.Check, error){
	"ATT-001": ofSoft(nil, func(x *exchange) { x.evidence.Type = "sgx" }),
	"ATT-010": ofSoft(nil, func(x *exchange) { x.claims = make([]byte, attest.MaxClaims+1) }),
	"ATT-011": ofSoft(nil, func(x *exchange) { x.evidence.Report = x.evidence.Report[1:] }),
	"ATT-020": ofSoft(func(c *attest.Claims) { c.Nonce[0] ^= 1 }, nil),
	"ATT-021": ofSoft(func(c *attest.Claims) { c.VerifierPeer = []byte("another") }, nil),
	"ATT-022": ofSoft(func(c *attest.Claims) { c.ProviderPeer = []byte("another") }, nil),
	"ATT-023": ofSoft(func(c *attest.Claims) { c.ExpiresAt = c.IssuedAt }, nil),
	"ATT-025": ofSoft(func(c *attest.Claims) { c.Purpose = attest.PurposeBuild }, nil),
	"ATT-026": func(t testing.TB) ([]attest.Check, error) {
		return ofResult(endpointRound(t, func(c *attest.Claims) { c.IngressTLSKey = nil }).verify())
	},
	"ATT-030": ofSoft(nil, func(x *exchange) { x.evidence.Certificates[0] = []byte{0x30} }),
	"ATT-031": ofSoft(nil, func(x *exchange) { x.roots = verify.Roots{} }),
	"ATT-032": func(t testing.TB) ([]attest.Check, error) {
		m := verify.NewSynthSNP(t)
		x := snpRound(t, m, nil)
		x.evidence = m.Revoked(t, x.claims)
		return ofResult(x.verify())
	},
	"ATT-033": ofTDX(nil, func(x *exchange) { x.evidence.Endorsements = nil }),
	"ATT-034": func(t testing.TB) ([]attest.Check, error) {
		m := attesttest.NewTDX(t, tdxNow, nil)
		x := tdxRound(t, m)
		x.now = tdxNow.AddDate(0, 2, 0)
		x.claims = attest.EncodeClaims(attesttest.Claims(x.ch, x.now))
		x.evidence = m.Evidence(t, x.claims)
		return ofResult(x.verify())
	},
	"ATT-040": ofSoft(nil, func(x *exchange) { x.evidence.Report[0x90] ^= 1 }),
	"ATT-041": ofSoft(nil, func(x *exchange) { x.claims = withHPKE(x.claims) }),
	"ATT-042": ofSNP(verify.SNPUnbound),
	"ATT-050": ofSNP(verify.SNPDebug),
	"ATT-051": ofTDX(func(q *attesttest.TDXQuote) { q.Body[attesttest.TDXAtAttributes+3] |= 0x20 }, nil),
	"ATT-052": ofSNP(verify.SNPVMPL),
	"ATT-061": ofSNP(verify.SNPProvisional),
	"ATT-090": ofIdentity(func(id *attest.TPMIdentity, _ *verify.Roots) { id.AKPublic = id.EKPublic }),
	"ATT-091": ofIdentity(func(id *attest.TPMIdentity, _ *verify.Roots) { id.EKCertificates[0] = []byte{0x30} }),
	"ATT-092": ofQuote(nil, func(x *exchange) { x.want = nil }),
	"ATT-093": ofQuote(nil, func(x *exchange) { x.evidence.TPM.PCRs = x.evidence.TPM.PCRs[1:] }),
	"ATT-094": ofQuote(nil, func(x *exchange) { x.evidence.TPM.PCRs[0].Value[0] = 1 }),
	"ATT-095": func(t testing.TB) ([]attest.Check, error) {
		x := paperQuote(t, nil)
		r, err := x.verify()
		check(t, err)
		last, _ := verify.Saw(r)
		last.ResetCount++
		c, err := last.Follows(r)
		return append(r.Checks, c), err
	},
	"ATT-096": ofQuote(func(c *attest.Claims) { c.TPMAKName = nil }, nil),
	"ATT-097": ofQuote(nil, func(x *exchange) { x.evidence.BootLog = []byte("noise") }),
	// A root that is none is a mistake of the caller that the library panics over.
	"ATT-190": ofIdentity(func(_ *attest.TPMIdentity, r *verify.Roots) { r.EKRoots = []*x509.Certificate{nil} }),
}

func ofResult(r *attest.Result, err error) ([]attest.Check, error) { return r.Checks, err }

func ofSoft(claims func(*attest.Claims), change func(*exchange)) func(testing.TB) ([]attest.Check, error) {
	return of(softRound, claims, change)
}

func ofQuote(claims func(*attest.Claims), change func(*exchange)) func(testing.TB) ([]attest.Check, error) {
	return of(paperQuote, claims, change)
}

func of(round func(testing.TB, func(*attest.Claims)) exchange, claims func(*attest.Claims), change func(*exchange)) func(testing.TB) ([]attest.Check, error) {
	return func(t testing.TB) ([]attest.Check, error) {
		x := round(t, claims)
		x.evidence = attesttest.Clone(x.evidence)
		if change != nil {
			change(&x)
		}
		return ofResult(x.verify())
	}
}

func ofSNP(change func([]byte)) func(testing.TB) ([]attest.Check, error) {
	return func(t testing.TB) ([]attest.Check, error) {
		return ofResult(snpRound(t, verify.NewSynthSNP(t), change).verify())
	}
}

func ofTDX(quote func(*attesttest.TDXQuote), change func(*exchange)) func(testing.TB) ([]attest.Check, error) {
	return func(t testing.TB) ([]attest.Check, error) {
		m := attesttest.NewTDX(t, tdxNow, nil)
		x := tdxRound(t, m)
		x.evidence.Report = m.Quote(t, attest.ReportData(x.claims), quote)
		if change != nil {
			change(&x)
		}
		return ofResult(x.verify())
	}
}

func ofIdentity(change func(*attest.TPMIdentity, *verify.Roots)) func(testing.TB) ([]attest.Check, error) {
	return func(t testing.TB) ([]attest.Check, error) {
		v := newVendor(t)
		id, roots := paperTPM(t, v, nil), trusting(v)
		change(&id, &roots)
		_, want, err := verify.NewActivation(id, roots, rand.Reader, time.Now())
		return want.Checks(), err
	}
}

// TestEveryCodeIsProvoked fails for a code that nothing here leads to.
func TestEveryCodeIsProvoked(t *testing.T) {
	source, err := os.ReadFile("codes.go")
	check(t, err)
	codes := map[string]bool{}
	for _, m := range regexp.MustCompile(`code\{"(ATT-\d{3})"`).FindAllSubmatch(source, -1) {
		codes[string(m[1])] = true
	}
	if diff := slices.Compact(slices.Sorted(maps.Keys(codes))); len(diff) != len(provocations) {
		t.Errorf("got %d codes and %d provocations", len(diff), len(provocations))
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		t.Run(code, func(t *testing.T) {
			provoke := provocations[code]
			if provoke == nil {
				t.Fatal("nothing provokes this code")
			}
			checks, err := provoke(t)
			refusedChecks(t, checks, err, code)
		})
	}
}

// TestDowngrade shows evidence of each type under the name of each other one: it
// is never taken for that, whatever the verifier trusts.
func TestDowngrade(t *testing.T) {
	soft, quote := softRound(t, nil), paperQuote(t, nil)
	snp, tdx := snpRound(t, verify.NewSynthSNP(t), nil), tdxRound(t, attesttest.NewTDX(t, time.Now(), nil))
	types := []attest.Type{attest.Soft, attest.SEVSNP, attest.TDX, attest.TPM2}
	for i, x := range []exchange{soft, snp, tdx, quote} {
		for _, other := range types {
			if other == types[i] {
				continue
			}
			y := x
			y.roots = verify.Roots{SoftCAs: soft.roots.SoftCAs}
			y.want, y.evidence.Type = quote.want, other
			y.refusedInOrder(t, string(types[i])+" as "+string(other))
			y.evidence.TPM, y.evidence.Certificates = quote.evidence.TPM, nil
			y.refusedInOrder(t, string(types[i])+" with a quote as "+string(other))
		}
	}
}

// TestHostileLengths: every list and byte string of evidence, far beyond its cap
// or empty.
func TestHostileLengths(t *testing.T) {
	long, many := make([]byte, 4<<20), make([][]byte, 10000)
	for name, change := range map[string]func(*attest.Evidence){
		"report":         func(e *attest.Evidence) { e.Report = long },
		"no report":      func(e *attest.Evidence) { e.Report, e.TPM = nil, nil },
		"certificates":   func(e *attest.Evidence) { e.Certificates = many },
		"a certificate":  func(e *attest.Evidence) { e.Certificates = [][]byte{long} },
		"no certificate": func(e *attest.Evidence) { e.Certificates = [][]byte{{}} },
		"endorsements":   func(e *attest.Evidence) { e.Endorsements = make([]attest.Endorsement, 10000) },
		"an endorsement": func(e *attest.Evidence) { e.Endorsements = []attest.Endorsement{{Kind: attest.SNPCRL, Body: long}} },
		"no endorsement": func(e *attest.Evidence) { e.Endorsements = []attest.Endorsement{{Kind: attest.SNPCRL}} },
		"an endorsement's": func(e *attest.Evidence) {
			e.Endorsements = []attest.Endorsement{{Kind: attest.TDXTCBInfo, Body: long[:1], Chain: many}}
		},
		"boot log":  func(e *attest.Evidence) { e.BootLog = long },
		"quote":     func(e *attest.Evidence) { e.TPM = &attest.TPMQuote{Quoted: long, Signature: long[:1]} },
		"signature": func(e *attest.Evidence) { e.TPM = &attest.TPMQuote{Quoted: long[:1], Signature: long} },
		"proof": func(e *attest.Evidence) {
			e.TPM = &attest.TPMQuote{Quoted: long[:1], Signature: long[:1], ActivationProof: long}
		},
		"registers": func(e *attest.Evidence) {
			e.TPM = &attest.TPMQuote{Quoted: long[:1], Signature: long[:1], PCRs: make([]attest.PCR, 10000)}
		},
		"a register": func(e *attest.Evidence) {
			e.TPM = &attest.TPMQuote{Quoted: long[:1], Signature: long[:1], PCRs: []attest.PCR{{Bank: "sha256", Value: long}}}
		},
		"nothing": func(e *attest.Evidence) { *e = attest.Evidence{Type: e.Type} },
	} {
		for _, x := range []exchange{softRound(t, nil), paperQuote(t, nil)} {
			for _, kind := range []attest.Type{attest.Soft, attest.SEVSNP, attest.TDX, attest.TPM2} {
				if kind == attest.TPM2 && x.want == nil {
					continue
				}
				y := x
				y.evidence.Type = kind
				change(&y.evidence)
				r, err := y.verify()
				t.Log(name, kind)
				refused(t, r, err, "ATT-011")
			}
		}
	}
}
