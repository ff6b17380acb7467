package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/tpmtemplate"
	"apocryph/attest/verify"
)

// externalKey loads an attestation key that was made outside into a real TPM.
func externalKey(t *testing.T, a, _ prover) {
	raw := a.machine.Open(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	d, err := key.Bytes()
	check(t, err)
	sensitive := tpm2.New2B(tpm2.TPMTSensitive{
		SensitiveType: tpm2.TPMAlgECC,
		Sensitive:     tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgECC, &tpm2.TPM2BECCParameter{Buffer: d}),
	})
	load := func(area []byte, private bool) (tpm2.TPMHandle, tpm2.TPM2BName, error) {
		cmd := tpm2.LoadExternal{InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](area), Hierarchy: tpm2.TPMRHNull}
		if private {
			cmd.InPrivate = sensitive
		}
		r, err := cmd.Execute(raw)
		if err != nil {
			return 0, tpm2.TPM2BName{}, err
		}
		t.Cleanup(func() { _, _ = tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(raw) })
		return r.ObjectHandle, r.Name, nil
	}
	exact := eccArea(tpmtemplate.AK(), &key.PublicKey)
	if h, _, err := load(exact, true); err == nil {
		t.Errorf("the TPM loaded a foreign key as its own: %x", h)
	}

	// With honest attributes it loads, and would activate; the template stops it.
	plain := tpmtemplate.AK()
	plain.ObjectAttributes = tpm2.TPMAObject{UserWithAuth: true, SignEncrypt: true}
	area := eccArea(plain, &key.PublicKey)
	id := a.identity(t)
	id.AKPublic = area
	_, want, err := verify.NewActivation(id, rootsOf(a.machine), rand.Reader, time.Now())
	refusedChecks(t, want.Checks(), err, "ATT-090")

	// With false attributes the verifier takes it and only its public half
	// loads: the TPM does not activate it.
	id.AKPublic = exact
	act, _, err := verify.NewActivation(id, rootsOf(a.machine), rand.Reader, time.Now())
	check(t, err)
	if secret, err := a.Activate(t.Context(), act); err == nil {
		t.Errorf("activated for the genuine key: %x", secret)
	}
	h, name, err := load(exact, false)
	check(t, err)
	if secret, err := activate(raw, h, name, act); err == nil {
		t.Errorf("activated for the foreign key: %x", secret)
	}
}

// activate is what an attacker with full control of the TPM would do, with its
// P-384 endorsement key.
func activate(raw transport.TPM, h tpm2.TPMHandle, name tpm2.TPM2BName, act attest.Activation) ([]byte, error) {
	ek := tpmtemplate.EKs()[1]
	public, err := tpm2.ReadPublic{ObjectHandle: ek.Persistent}.Execute(raw)
	if err != nil {
		return nil, err
	}
	r, err := tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: h, Name: name, Auth: tpm2.PasswordAuth(nil)},
		KeyHandle:      tpm2.AuthHandle{Handle: ek.Persistent, Name: public.Name, Auth: tpm2.PasswordAuth(nil)},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: act.CredentialBlob},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: act.EncryptedSecret},
	}.Execute(raw)
	if err != nil {
		return nil, err
	}
	return r.CertInfo.Buffer, nil
}

// otherStatements signs other things with the genuine attestation key.
func otherStatements(t *testing.T, a, _ prover) {
	raw := a.machine.Open(t)
	key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpmtemplate.AK())}.Execute(raw)
	check(t, err)
	t.Cleanup(func() { _, _ = tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(raw) })
	ak := tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)}
	scheme := tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}
	x := a.round(t, nil)
	binding := attest.QualifyingData(x.claims)

	certify, err := tpm2.Certify{
		ObjectHandle: ak, SignHandle: ak, QualifyingData: tpm2.TPM2BData{Buffer: binding[:]}, InScheme: scheme,
	}.Execute(raw)
	check(t, err)
	y := x
	y.evidence = attesttest.Clone(x.evidence)
	y.evidence.TPM.Quoted, y.evidence.TPM.Signature = certify.CertifyInfo.Bytes(), tpm2.Marshal(certify.Signature)
	r, err := y.verify()
	refused(t, r, err, "ATT-011")

	for name, data := range map[string][]byte{"ATT-041": make([]byte, 32), "ATT-042": nil} {
		q, err := tpm2.Quote{SignHandle: ak, QualifyingData: tpm2.TPM2BData{Buffer: data}, InScheme: scheme, PCRSelect: allPCRs()}.Execute(raw)
		check(t, err)
		y.evidence.TPM.Quoted, y.evidence.TPM.Signature = q.Quoted.Bytes(), tpm2.Marshal(q.Signature)
		r, err := y.verify()
		refused(t, r, err, name)
	}
	q, err := tpm2.Quote{SignHandle: ak, QualifyingData: tpm2.TPM2BData{Buffer: binding[:31]}, InScheme: scheme, PCRSelect: allPCRs()}.Execute(raw)
	check(t, err)
	y.evidence.TPM.Quoted, y.evidence.TPM.Signature = q.Quoted.Bytes(), tpm2.Marshal(q.Signature)
	r, err = y.verify()
	refused(t, r, err, "ATT-042")

	// The other bank's registers, whose number and digest are as good.
	other := allPCRs()
	other.PCRSelections[0].Hash = tpm2.TPMAlgSHA384
	q, err = tpm2.Quote{SignHandle: ak, QualifyingData: tpm2.TPM2BData{Buffer: binding[:]}, InScheme: scheme, PCRSelect: other}.Execute(raw)
	check(t, err)
	y.evidence.TPM.Quoted, y.evidence.TPM.Signature = q.Quoted.Bytes(), tpm2.Marshal(q.Signature)
	r, err = y.verify()
	refused(t, r, err, "ATT-093")
}

func allPCRs() tpm2.TPMLPCRSelection {
	var numbers []uint
	for _, p := range tpmtemplate.QuotePCRs() {
		numbers = append(numbers, uint(p))
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...)}}}
}
