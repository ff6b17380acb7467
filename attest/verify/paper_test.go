package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/tpmtemplate"
	"apocryph/attest/verify"
)

// paperQuote is an exchange with a TPM that is none: its attestation key has the
// right form and lies in memory. A verifier that pinned its name is deceived,
// which is what pinning is worth.
func paperQuote(t testing.TB, change func(*attest.Claims)) exchange {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	area := eccArea(tpmtemplate.AK(), &key.PublicKey)
	bound, err := verify.BoundAK(area)
	check(t, err)
	x := exchange{ch: attesttest.NewChallenge(t), now: time.Now()}
	x.want, err = verify.Pinned(area, verify.Roots{AKNames: [][verify.AKNameSize]byte{[verify.AKNameSize]byte(bound.AKName())}})
	check(t, err)
	c := attesttest.Claims(x.ch, x.now)
	c.TPMAKName = bound.AKName()
	if change != nil {
		change(c)
	}
	x.claims = attest.EncodeClaims(c)
	q := &attest.TPMQuote{}
	digest := sha256.New()
	for _, i := range tpmtemplate.QuotePCRs() {
		q.PCRs = append(q.PCRs, attest.PCR{Bank: "sha256", Index: i, Value: make([]byte, 32)})
		digest.Write(make([]byte, 32))
	}
	binding := attest.QualifyingData(x.claims)
	q.Quoted = tpm2.Marshal(tpm2.TPMSAttest{
		Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestQuote, ExtraData: tpm2.TPM2BData{Buffer: binding[:]},
		ClockInfo: tpm2.TPMSClockInfo{ResetCount: 7},
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{
			PCRSelect: allPCRs(), PCRDigest: tpm2.TPM2BDigest{Buffer: digest.Sum(nil)},
		}),
	})
	sum := sha256.Sum256(q.Quoted)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	check(t, err)
	q.Signature = tpm2.Marshal(tpm2.TPMTSignature{
		SigAlg: tpm2.TPMAlgECDSA,
		Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
			Hash:       tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: r.FillBytes(make([]byte, 32))},
			SignatureS: tpm2.TPM2BECCParameter{Buffer: s.FillBytes(make([]byte, 32))},
		}),
	})
	x.evidence = attest.Evidence{Type: attest.TPM2, TPM: q}
	return x
}

// TestPaperQuote: it is sound but for the TPM, so that tests of what comes later
// get there.
func TestPaperQuote(t *testing.T) {
	x := paperQuote(t, nil)
	r, err := x.verify()
	check(t, err)
	if r.TPM.ResetCount != 7 || len(r.TPM.PCRs) != 15 {
		t.Errorf("got %+v", r.TPM)
	}
}

// FuzzTPMQuote gives the verifier a stranger's quote for a pinned key.
func FuzzTPMQuote(f *testing.F) {
	x := paperQuote(f, nil)
	q := x.evidence.TPM
	f.Add(q.Quoted, q.Signature, q.PCRs[0].Value, []byte(nil))
	f.Add(q.Quoted[:10], q.Signature[:4], []byte{}, make([]byte, 32))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{1})
	f.Fuzz(func(t *testing.T, quoted, signature, register, proof []byte) {
		x := x
		x.evidence = attesttest.Clone(x.evidence)
		honest := string(quoted) == string(q.Quoted) && string(signature) == string(q.Signature) && string(register) == string(q.PCRs[0].Value)
		p := x.evidence.TPM
		p.Quoted, p.Signature, p.PCRs[0].Value, p.ActivationProof = quoted, signature, register, proof
		r, err := x.verify()
		if err == nil {
			// The proof says nothing to who pinned the key.
			if !honest {
				t.Errorf("accepted: %+v", r)
			}
			return
		}
		x.refusedInOrder(t, "changed")
	})
}
