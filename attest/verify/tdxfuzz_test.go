package verify_test

import (
	"bytes"
	"crypto/x509"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

// recordedTDX is an exchange with a synthetic machine that is kept in testdata,
// so that what an older version accepted still verifies and the fuzzer starts
// from evidence that its every process accepts.
func recordedTDX(t testing.TB) exchange {
	t.Helper()
	x := exchange{
		ch: attest.Challenge{
			Purpose: attest.PurposeProvision, Nonce: [32]byte{1, 2, 3},
			VerifierPeer: []byte("a verifier's peer id"), ProviderPeer: []byte("a provider's peer id"),
		},
		now: tdxNow,
	}
	result, root := filepath.Join("testdata", "tdx", "synthetic.attestresult"), filepath.Join("testdata", "tdx", "synthetic.root")
	if *update {
		m := attesttest.NewTDX(t, tdxNow, nil)
		claims := attest.EncodeClaims(attesttest.Claims(x.ch, x.now))
		e := m.Evidence(t, claims)
		e.Report = m.Quote(t, attest.ReportData(claims), (*attesttest.TDXQuote).V5)
		b, err := proto.Marshal(&attestpb.AttestResult{Claims: claims, Evidence: attest.EvidenceToWire([]attest.Evidence{e})})
		check(t, err)
		check(t, os.WriteFile(result, b, 0o644))
		check(t, os.WriteFile(root, m.Root.Raw, 0o644))
	}
	b, err := os.ReadFile(result)
	check(t, err)
	var m attestpb.AttestResult
	check(t, proto.Unmarshal(b, &m))
	evidence, err := attest.EvidenceFromWire(m.GetEvidence())
	check(t, err)
	der, err := os.ReadFile(root)
	check(t, err)
	ca, err := x509.ParseCertificate(der)
	check(t, err)
	x.claims, x.evidence, x.roots = m.GetClaims(), evidence[0], verify.TrustTDX(ca)
	return x
}

func TestRecordedTDX(t *testing.T) {
	x := recordedTDX(t)
	r, err := x.verify()
	check(t, err)
	if r.Level != attest.LevelTDX || r.TDX.TCBStatus != "UpToDate" {
		t.Errorf("got %+v", r)
	}
	x.now = x.now.AddDate(0, 0, 31)
	r, err = x.verify()
	refused(t, r, err, "ATT-023")
}

// tdxPieces are the byte strings of which TDX evidence is made.
func tdxPieces(e *attest.Evidence) []*[]byte {
	pieces := []*[]byte{&e.Report}
	for i := range e.Endorsements {
		pieces = append(pieces, &e.Endorsements[i].Body)
		for j := range e.Endorsements[i].Chain {
			pieces = append(pieces, &e.Endorsements[i].Chain[j])
		}
	}
	return pieces
}

func cloneTDX(e attest.Evidence) attest.Evidence {
	e.Endorsements = slices.Clone(e.Endorsements)
	for i := range e.Endorsements {
		e.Endorsements[i].Chain = slices.Clone(e.Endorsements[i].Chain)
	}
	for _, p := range tdxPieces(&e) {
		*p = bytes.Clone(*p)
	}
	return e
}

// stride keeps the tests short: flipping every bit takes a minute, and ten under
// the race detector. Odd, so that every bit of a byte has its turn.
var stride = flag.Int("stride", 29, "of the bits of TDX and SNP evidence every n-th is flipped; 1 flips all")

// refusedInOrder fails the test unless changed evidence is refused, and not by
// way of the recover.
func (x exchange) refusedInOrder(t testing.TB, what string) {
	t.Helper()
	r, err := x.verify()
	if err == nil {
		t.Fatalf("%s: accepted", what)
	}
	if r.TDX != nil || r.SNP != nil || r.TPM != nil {
		t.Errorf("%s: a refusal lets facts out: %+v", what, r)
	}
	if c := status.CodeOf(err); c != status.Untrusted || status.ReasonOf(err) == "attest.internal" {
		t.Errorf("%s: got %v (%v)", what, err, c)
	}
}

// TestTDXBits flips bits in everything that comes along.
func TestTDXBits(t *testing.T) {
	x := recordedTDX(t)
	_, err := x.verify()
	check(t, err)
	tried := 0
	attesttest.FlipEveryBit(t, x.evidence, *stride, func(what string, e attest.Evidence) {
		y := x
		y.evidence = e
		y.refusedInOrder(t, what)
		tried++
	})
	if tried < 1000 {
		t.Errorf("got %d changes", tried)
	}
}

// FuzzTDX gives the verifier a stranger's quote and collateral.
func FuzzTDX(f *testing.F) {
	x := recordedTDX(f)
	_, err := x.verify()
	check(f, err)
	honest := cloneTDX(x.evidence)
	piece := func(e attest.Evidence, kind attest.Kind) attest.Endorsement {
		p, _ := e.Endorsed(kind)
		return p
	}
	add := func(e attest.Evidence) {
		tcb := piece(e, attest.TDXTCBInfo)
		f.Add(e.Report, tcb.Body, piece(e, attest.TDXQEIdentity).Body, piece(e, attest.TDXRootCRL).Body, piece(e, attest.TDXPCKCRL).Body, tcb.Chain[0], tcb.Chain[1])
	}
	add(honest)
	intel := intelRound(f, "v4.quote", july2023)
	for _, name := range []string{"v4.quote", "v5.quote", "cos.quote"} {
		real := attest.Evidence{Report: cutQuote(tdxFile(f, name)), Endorsements: intelCollateral(f)}
		add(real)
		// What broke the parser that others use.
		for _, m := range tdxMutants(real.Report)[:40] {
			real.Report = m
			add(real)
		}
	}
	f.Fuzz(func(t *testing.T, report, tcb, qe, rootCRL, pckCRL, signer, root []byte) {
		x := x
		chain := [][]byte{signer, root}
		x.evidence = attest.Evidence{Type: attest.TDX, Report: report, Endorsements: []attest.Endorsement{
			{Kind: attest.TDXTCBInfo, Body: tcb, Chain: chain},
			{Kind: attest.TDXQEIdentity, Body: qe, Chain: chain},
			{Kind: attest.TDXRootCRL, Body: rootCRL},
			{Kind: attest.TDXPCKCRL, Body: pckCRL},
		}}
		if !reflect.DeepEqual(x.evidence, honest) {
			x.refusedInOrder(t, "changed")
		}
		// Under Intel's root real quotes go deepest, and nothing answers the
		// challenge.
		intel := intel
		intel.evidence = x.evidence
		intel.refusedInOrder(t, "under Intel's root")
	})
}

// FuzzTDXBit flips any one bit of recorded evidence.
func FuzzTDXBit(f *testing.F) {
	x := recordedTDX(f)
	honest := cloneTDX(x.evidence)
	f.Add(uint8(0), uint32(0))
	f.Add(uint8(1), uint32(77))
	f.Fuzz(func(t *testing.T, i uint8, bit uint32) {
		x := x
		x.evidence = cloneTDX(honest)
		pieces := tdxPieces(&x.evidence)
		p := *pieces[int(i)%len(pieces)]
		bit %= uint32(8 * len(p))
		p[bit/8] ^= 1 << (bit % 8)
		x.refusedInOrder(t, "a bit")
	})
}
