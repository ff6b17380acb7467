package verify_test

import (
	"bytes"
	"crypto/rand"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"
	"google.golang.org/protobuf/proto"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/soft"
	"apocryph/attest/verify"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

// quoted is a TPMS_ATTEST of an emulator, for the fuzzer to start from.
var quoted = bytes.Join([][]byte{
	{0xff, 'T', 'C', 'G', 0x80, 0x18, 0x00, 0x22, 0x00, 0x0b},
	make([]byte, 32),
	{0x00, 0x20},
	make([]byte, 32),
	make([]byte, 8+4+4+1+8),
	{0x00, 0x00, 0x00, 0x01, 0x00, 0x0b, 0x03, 0xff, 0xfb, 0x00, 0x00, 0x20},
	make([]byte, 32),
}, nil)

var update = flag.Bool("update", false, "write the golden files")

// recorded is an exchange with a soft device that is kept in testdata as the
// bytes of an AttestResult, so that what an older version made still verifies
// and the fuzzer starts from evidence that its every process accepts.
func recorded(t testing.TB) (exchange, []byte) {
	t.Helper()
	x := exchange{
		ch: attest.Challenge{
			Purpose: attest.PurposeProvision, Nonce: [32]byte{1, 2, 3},
			VerifierPeer: []byte("a verifier's peer id"), ProviderPeer: []byte("a provider's peer id"),
		},
		now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
	path := filepath.Join("testdata", "soft.attestresult")
	if *update {
		exe, err := os.Executable()
		check(t, err)
		d, err := soft.Open(t.TempDir(), exe, func() time.Time { return x.now })
		check(t, err)
		x.claims = attest.EncodeClaims(attesttest.Claims(x.ch, x.now))
		e, err := d.Attest(t.Context(), x.claims)
		check(t, err)
		b, err := proto.Marshal(&attestpb.AttestResult{Claims: x.claims, Evidence: attest.EvidenceToWire([]attest.Evidence{e})})
		check(t, err)
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(path, b, 0o644))
	}
	b, err := os.ReadFile(path)
	check(t, err)
	var m attestpb.AttestResult
	check(t, proto.Unmarshal(b, &m))
	evidence, err := attest.EvidenceFromWire(m.GetEvidence())
	check(t, err)
	x.claims, x.evidence, x.roots = m.GetClaims(), evidence[0], verify.RootsShown(nil, evidence)
	return x, b
}

func TestRecordedEvidence(t *testing.T) {
	x, _ := recorded(t)
	r, err := x.verify()
	check(t, err)
	if r.Level != attest.LevelSoft {
		t.Errorf("got %s", r.Level)
	}
	x.now = x.now.Add(time.Hour)
	r, err = x.verify()
	refused(t, r, err, "ATT-023")
}

// FuzzEvidence gives the verifier a stranger's AttestResult. Whatever comes, it
// must end in a classed refusal and not by way of the recover; only the honest
// bytes are accepted.
func FuzzEvidence(f *testing.F) {
	x, seed := recorded(f)
	f.Add(seed)
	v := newVendor(f)
	_, want, err := verify.NewActivation(paperTPM(f, v, nil), trusting(v), rand.Reader, time.Now())
	check(f, err)
	for _, e := range []attest.Evidence{
		{Type: attest.SEVSNP, Report: testdata.AttestationBytes, Certificates: [][]byte{testdata.VcekBytes}},
		{Type: attest.TPM2, TPM: &attest.TPMQuote{
			Quoted: quoted, Signature: append([]byte{0, 0x18, 0, 0x0b, 0, 0x20}, make([]byte, 32+2+32)...),
			ActivationProof: make([]byte, 32), PCRs: []attest.PCR{{Bank: "sha256", Value: make([]byte, 32)}},
		}},
	} {
		b, err := proto.Marshal(&attestpb.AttestResult{Claims: x.claims, Evidence: attest.EvidenceToWire([]attest.Evidence{e})})
		check(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m attestpb.AttestResult
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		evidence, err := attest.EvidenceFromWire(m.GetEvidence())
		if err != nil {
			return
		}
		r, err := verify.Evidence(evidence, m.GetClaims(), x.ch, want, x.roots, x.now)
		if err == nil {
			if !bytes.Equal(m.GetClaims(), x.claims) || !bytes.Equal(evidence[0].Report, x.evidence.Report) {
				t.Fatalf("accepted: %+v", r)
			}
			return
		}
		if c := status.CodeOf(err); c != status.Untrusted && c != status.Unimplemented {
			t.Errorf("got %v (%v)", err, c)
		}
		if status.ReasonOf(err) == "attest.internal" {
			t.Errorf("a parser panicked: %v", err)
		}
	})
}

// FuzzNewActivation gives the verifier a stranger's TPM identity.
func FuzzNewActivation(f *testing.F) {
	v := newVendor(f)
	id := paperTPM(f, v, nil)
	f.Add(id.EKCertificates[0], v.root.Raw, id.EKPublic, id.AKPublic)
	f.Add(testdata.VcekBytes, []byte(nil), id.AKPublic, id.EKPublic)
	f.Add([]byte{0x30, 0x80}, []byte{}, []byte{0, 1, 0, 0x0b}, []byte{0, 0x23})
	now := time.Now()
	f.Fuzz(func(t *testing.T, leaf, issuer, ek, ak []byte) {
		got := attest.TPMIdentity{EKCertificates: [][]byte{leaf}, EKPublic: ek, AKPublic: ak}
		if len(issuer) > 0 {
			got.EKCertificates = append(got.EKCertificates, issuer)
		}
		_, want, err := verify.NewActivation(got, trusting(v), rand.Reader, now)
		if err == nil {
			if !bytes.Equal(ek, id.EKPublic) || len(want.AKName()) != 34 {
				t.Fatalf("accepted another TPM: %+v", got)
			}
			return
		}
		if status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) == "attest.internal" {
			t.Errorf("got %v (%v)", err, status.CodeOf(err))
		}
	})
}
