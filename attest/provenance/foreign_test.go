package provenance

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"testing"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

// verifier is a key of securesystemslib's.
type verifier struct{ key ed25519.PublicKey }

func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.key, data, sig) {
		return dsse.ErrNoSignature
	}
	return nil
}
func (v verifier) KeyID() (string, error)   { return KeyID(v.key), nil }
func (v verifier) Public() crypto.PublicKey { return v.key }

// TestForeign has in-toto's own libraries read what this package writes: the
// envelope by securesystemslib, which in-toto and SLSA's verifiers are built on, the
// statement and its predicate by the protocol buffers of in-toto's specification,
// which refuse fields that they do not know.
func TestForeign(t *testing.T) {
	upload := sample()
	upload.Source, upload.Upload = nil, digest("files")
	plain := sample()
	plain.Source.Repository = "http://git.internal:3000/o/r"
	for name, b := range map[string]Build{"git": sample(), "git over http": plain, "upload": upload} {
		t.Run(name, func(t *testing.T) {
			var envelope dsse.Envelope
			if err := json.Unmarshal(signed(t, b), &envelope); err != nil {
				t.Fatal(err)
			}
			accept := func(key ed25519.PublicKey) error {
				v, err := dsse.NewEnvelopeVerifier(verifier{key})
				if err != nil {
					t.Fatal(err)
				}
				_, err = v.Verify(t.Context(), &envelope)
				return err
			}
			if err := accept(public()); err != nil {
				t.Fatal(err)
			}
			if accept(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)) == nil {
				t.Fatal("another key is accepted")
			}
			payload, err := envelope.DecodeB64Payload()
			if err != nil {
				t.Fatal(err)
			}
			foreign(t, b, payload)
			envelope.Payload = envelope.Payload[:8] + "AAAA" + envelope.Payload[12:]
			if accept(public()) == nil {
				t.Error("another payload is accepted")
			}
		})
	}
}

func foreign(t *testing.T, b Build, payload []byte) {
	var s intoto.Statement
	if err := protojson.Unmarshal(payload, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.GetPredicateType() != "https://slsa.dev/provenance/v1" || "sha256:"+s.GetSubject()[0].GetDigest()["sha256"] != b.ImageID {
		t.Errorf("got %v", &s)
	}
	predicate, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		t.Fatal(err)
	}
	var p slsa.Provenance
	if err := protojson.Unmarshal(predicate, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	m := p.GetRunDetails().GetMetadata()
	if p.GetRunDetails().GetBuilder().GetId() != b.Builder || m.GetInvocationId() != b.ID || !m.GetStartedOn().AsTime().Equal(b.Started) || !m.GetFinishedOn().AsTime().Equal(b.Finished) {
		t.Errorf("got %v", p.GetRunDetails())
	}
	list := p.GetBuildDefinition().GetResolvedDependencies()
	for _, d := range list {
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	}
	if b.Source == nil {
		return
	}
	if d := list[0]; d.GetUri() != "git+"+b.Source.Repository+"@refs/heads/main" || d.GetDigest()["gitCommit"] != b.Source.Commit ||
		string(d.GetContent()) != object || d.GetAnnotations().AsMap()["apocryph_tree"] != tree {
		t.Errorf("got %v", d)
	}
	if e := p.GetBuildDefinition().GetExternalParameters().AsMap()["source"].(map[string]any); e["repository"] != b.Source.Repository {
		t.Errorf("got %v", e)
	}
}
