package attest

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

func asStatus(err error, target **status.Error) bool { return errors.As(err, target) }

func wantFault(t *testing.T, err error, reason, field string) {
	t.Helper()
	var e *status.Error
	if !asStatus(err, &e) || e.Code != status.InvalidArgument || e.Reason != reason {
		t.Fatalf("got %v, want invalid_argument %s", err, reason)
	}
	if !slices.ContainsFunc(e.Faults, func(f status.Fault) bool { return f.Field == field }) {
		t.Errorf("got %v, want a fault of %s", e.Faults, field)
	}
}

func softEvidence() Evidence {
	return Evidence{Type: Soft, Report: make([]byte, 1184), Certificates: [][]byte{{1}, {2}, {3}}}
}

func tdxEvidence() Evidence {
	return Evidence{Type: TDX, Report: []byte{1}, BootLog: []byte{9}, Endorsements: []Endorsement{
		{Kind: TDXTCBInfo, Body: []byte{1}, Chain: [][]byte{{4}, {5}}},
		{Kind: TDXQEIdentity, Body: []byte{2}, Chain: [][]byte{{6}}},
		{Kind: TDXRootCRL, Body: []byte{3}},
		{Kind: TDXPCKCRL, Body: []byte{4}},
	}}
}

func tpmEvidence() Evidence {
	return Evidence{Type: TPM2, TPM: &TPMQuote{
		Quoted: []byte{1}, Signature: []byte{2}, ActivationProof: make([]byte, 32),
		PCRs: []PCR{{Bank: "sha256", Index: 0, Value: make([]byte, 32)}, {Bank: "sha384", Index: 23, Value: make([]byte, 48)}},
	}}
}

func TestEvidenceRoundTrip(t *testing.T) {
	logged := tpmEvidence()
	logged.BootLog, logged.TPM.ActivationProof = []byte{7}, nil
	want := []Evidence{softEvidence(), tpmEvidence(), tdxEvidence(), logged}
	got, err := EvidenceFromWire(EvidenceToWire(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if x, ok := got[2].Endorsed(TDXRootCRL); !ok || len(x.Body) != 1 || x.Body[0] != 3 {
		t.Errorf("got %+v, %v", x, ok)
	}
	if _, ok := got[2].Endorsed(SNPCRL); ok {
		t.Error("there is an endorsement that nobody sent")
	}
}

func TestEvidenceRefuses(t *testing.T) {
	many := func(n int) [][]byte {
		out := make([][]byte, n)
		for i := range out {
			out[i] = []byte{1}
		}
		return out
	}
	tests := map[string]struct {
		from   func() Evidence
		change func(*Evidence)
		field  string
	}{
		"no type":            {softEvidence, func(e *Evidence) { e.Type = "" }, "type"},
		"unknown type":       {softEvidence, func(e *Evidence) { e.Type = "sgx" }, "type"},
		"no report":          {softEvidence, func(e *Evidence) { e.Report = nil }, "report"},
		"long report":        {softEvidence, func(e *Evidence) { e.Report = make([]byte, MaxReport+1) }, "report"},
		"many certificates":  {softEvidence, func(e *Evidence) { e.Certificates = many(9) }, "certificates"},
		"empty certificate":  {softEvidence, func(e *Evidence) { e.Certificates[1] = nil }, "certificates[1]"},
		"long certificate":   {softEvidence, func(e *Evidence) { e.Certificates[0] = make([]byte, MaxCertificate+1) }, "certificates[0]"},
		"quote on soft":      {softEvidence, func(e *Evidence) { e.TPM = &TPMQuote{} }, "tpm"},
		"no quote":           {tpmEvidence, func(e *Evidence) { e.TPM = nil }, "tpm"},
		"report on tpm":      {tpmEvidence, func(e *Evidence) { e.Report = []byte{1} }, "report"},
		"certificate on tpm": {tpmEvidence, func(e *Evidence) { e.Certificates = many(1) }, "certificates"},
		"unknown kind":       {tdxEvidence, func(e *Evidence) { e.Endorsements[1].Kind = "sgx" }, "endorsements[1].kind"},
		"two of a kind":      {tdxEvidence, func(e *Evidence) { e.Endorsements[2].Kind = TDXTCBInfo }, "endorsements[2].kind"},
		"empty endorsement":  {tdxEvidence, func(e *Evidence) { e.Endorsements[0].Body = nil }, "endorsements[0].body"},
		"long endorsement":   {tdxEvidence, func(e *Evidence) { e.Endorsements[0].Body = make([]byte, MaxEndorsement+1) }, "endorsements[0].body"},
		"many endorsements":  {tdxEvidence, func(e *Evidence) { e.Endorsements = make([]Endorsement, MaxEndorsements+1) }, "endorsements"},
		"many signers":       {tdxEvidence, func(e *Evidence) { e.Endorsements[0].Chain = many(9) }, "endorsements[0].chain"},
		"empty signer":       {tdxEvidence, func(e *Evidence) { e.Endorsements[0].Chain[1] = nil }, "endorsements[0].chain[1]"},
		"long boot log":      {tpmEvidence, func(e *Evidence) { e.BootLog = make([]byte, MaxBootLog+1) }, "boot_log"},
		"no quoted":          {tpmEvidence, func(e *Evidence) { e.TPM.Quoted = nil }, "tpm.quoted"},
		"long quoted":        {tpmEvidence, func(e *Evidence) { e.TPM.Quoted = make([]byte, MaxQuoted+1) }, "tpm.quoted"},
		"no signature":       {tpmEvidence, func(e *Evidence) { e.TPM.Signature = nil }, "tpm.signature"},
		"short proof":        {tpmEvidence, func(e *Evidence) { e.TPM.ActivationProof = make([]byte, 31) }, "tpm.activation_proof"},
		"long proof":         {tpmEvidence, func(e *Evidence) { e.TPM.ActivationProof = make([]byte, 33) }, "tpm.activation_proof"},
		"many registers":     {tpmEvidence, func(e *Evidence) { e.TPM.PCRs = make([]PCR, 25) }, "tpm.pcrs"},
		"unknown bank":       {tpmEvidence, func(e *Evidence) { e.TPM.PCRs[0].Bank = "sha1" }, "tpm.pcrs[0].bank"},
		"short register":     {tpmEvidence, func(e *Evidence) { e.TPM.PCRs[0].Value = []byte{1} }, "tpm.pcrs[0].value"},
		"register 24":        {tpmEvidence, func(e *Evidence) { e.TPM.PCRs[1].Index = 24 }, "tpm.pcrs[1].index"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := tt.from()
			tt.change(&e)
			_, err := EvidenceFromWire(EvidenceToWire([]Evidence{e}))
			wantFault(t, err, "attest.evidence", tt.field)
		})
	}
	if _, err := EvidenceFromWire(make([]*attestpb.Evidence, MaxEvidence+1)); status.ReasonOf(err) != "attest.evidence" {
		t.Errorf("too many: got %v", err)
	}
	if _, err := EvidenceFromWire([]*attestpb.Evidence{nil}); status.ReasonOf(err) != "attest.evidence" {
		t.Errorf("nil: got %v", err)
	}
}

func TestIdentityWire(t *testing.T) {
	want := TPMIdentity{EKCertificates: [][]byte{{1}, {2}}, EKPublic: []byte{3}, AKPublic: []byte{4}}
	got, err := IdentityFromWire(IdentityToWire(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = IdentityFromWire(nil)
	for _, field := range []string{"ek_certificates", "ek_public", "ak_public"} {
		wantFault(t, err, "attest.identity", field)
	}
	bound := TPMIdentity{AKPublic: []byte{4}, Bound: true}
	if got, err = IdentityFromWire(IdentityToWire(bound)); err != nil || cmp.Diff(bound, got) != "" {
		t.Errorf("bound: got %+v, %v", got, err)
	}
	_, err = IdentityFromWire(IdentityToWire(TPMIdentity{Bound: true}))
	wantFault(t, err, "attest.identity", "ak_public")
	want.EKCertificates[1] = make([]byte, MaxCertificate+1)
	_, err = IdentityFromWire(IdentityToWire(want))
	wantFault(t, err, "attest.identity", "ek_certificates[1]")
}

func TestActivationWire(t *testing.T) {
	want := Activation{CredentialBlob: []byte{1}, EncryptedSecret: []byte{2}}
	got, err := ActivationFromWire(ActivationToWire(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Nothing at all is the answer of who remembers.
	if none, err := ActivationFromWire(nil); err != nil || !none.None() {
		t.Errorf("got %+v, %v", none, err)
	}
	_, err = ActivationFromWire(ActivationToWire(Activation{EncryptedSecret: []byte{2}}))
	wantFault(t, err, "attest.activation", "credential_blob")
	want.EncryptedSecret = make([]byte, MaxCredential+1)
	_, err = ActivationFromWire(ActivationToWire(want))
	wantFault(t, err, "attest.activation", "encrypted_secret")
}

func TestVerdictFailed(t *testing.T) {
	v := Verdict{Checks: []Check{{Code: "a", OK: true}, {Code: "b"}, {Code: "c"}}}
	if c, ok := v.Failed(); !ok || c.Code != "b" {
		t.Errorf("got %v %v, want b", c, ok)
	}
	if _, ok := (Verdict{Checks: v.Checks[:1]}).Failed(); ok {
		t.Error("a verdict without a failed check has one")
	}
}
