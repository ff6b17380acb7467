package attest

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/proto"

	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

const (
	// EndpointPath is where an app's provider shows evidence to the app's users:
	// a GET with "?nonce=" and 64 hex digits is answered with an encoded [Endpoint],
	// a POST of an encoded [Activate] with an encoded [Activated].
	EndpointPath = "/.well-known/apocryph/attestation"
	// EndpointType is the media type of all of them.
	EndpointType = "application/vnd.apocryph.attestation+json"
	// MaxEndpoint bounds any of them, in bytes: base64 of evidence whose boot log
	// and certificates are at their caps, a receipt, statements about builds, and the
	// log that has them.
	MaxEndpoint = 2<<20 + MaxStatements + 2*MaxEndpointLog
	// MaxStatements bounds the envelopes of an [Endpoint]'s statements together, in bytes,
	// and maxBuilds their number: a verifier opens each.
	MaxStatements = 4 << 20
	maxBuilds     = 64

	endpointVersion = "0.0.1"
	reasonEndpoint  = "attest.endpoint"
)

// Endpoint is what a provider shows to the users of an app: evidence that was
// made for their nonce and the app's host name.
type Endpoint struct {
	// Claims are the exact bytes that the evidence binds.
	Claims   []byte
	Evidence []Evidence
	// Identity is set where the evidence is a TPM's.
	Identity *TPMIdentity
	// Receipt is a DSSE envelope (package receipt), signed with the claims' receipt
	// key; empty where the pod does not run.
	Receipt []byte
	// Provenance are DSSE envelopes (package provenance) with statements about how
	// the images were built, signed with the same key.
	Provenance [][]byte
	// Log has the builds among them that were made in this boot; nil where there are
	// none, or where it is too long to be shown.
	Log *EndpointLog
}

// Activate asks a provider to prove that its TPM holds the keys that the
// evidence named which it gave for these claims.
type Activate struct {
	ClaimsDigest [32]byte
	Activation
}

// Activated has the proof, which is to be put into the quote.
type Activated struct{ Proof [32]byte }

type endpointJSON struct {
	Version string `json:"version"`
	// Result is an apocryph.v0.AttestResult, Identity an apocryph.v0.TpmIdentity.
	Result   []byte          `json:"result"`
	Identity []byte          `json:"tpm_identity,omitempty"`
	Receipt  json.RawMessage `json:"receipt,omitempty"`
	// Provenance are envelopes.
	Provenance []json.RawMessage `json:"provenance,omitempty"`
	Log        *endpointLogJSON  `json:"log,omitempty"`
}

type activateJSON struct {
	Version         string `json:"version"`
	ClaimsDigest    []byte `json:"claims_digest"`
	CredentialBlob  []byte `json:"credential_blob"`
	EncryptedSecret []byte `json:"encrypted_secret"`
}

type activatedJSON struct {
	Version string `json:"version"`
	Proof   []byte `json:"activation_proof"`
}

// Encode returns the endpoint's JSON, whose byte strings are base64. Receipts
// must be JSON, as envelopes are.
func (e Endpoint) Encode() ([]byte, error) {
	result, err := proto.Marshal(&attestpb.AttestResult{Claims: e.Claims, Evidence: EvidenceToWire(e.Evidence)})
	if err != nil {
		return nil, status.Wrap(err, status.Internal, reasonEndpoint, "encoding evidence")
	}
	out := endpointJSON{Version: endpointVersion, Result: result, Receipt: e.Receipt, Log: e.Log.wire()}
	for _, p := range e.Provenance {
		out.Provenance = append(out.Provenance, p)
	}
	if e.Identity != nil {
		if out.Identity, err = proto.Marshal(IdentityToWire(*e.Identity)); err != nil {
			return nil, status.Wrap(err, status.Internal, reasonEndpoint, "encoding a TPM's identity")
		}
	}
	return encodeJSON(out)
}

// DecodeEndpoint reads what [Endpoint.Encode] wrote, within all caps of this
// package. Nothing of it is verified.
func DecodeEndpoint(b []byte) (*Endpoint, error) {
	var in endpointJSON
	if err := decodeJSON(b, &in, &in.Version); err != nil {
		return nil, err
	}
	var result attestpb.AttestResult
	if err := proto.Unmarshal(in.Result, &result); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, reasonEndpoint, "result is not an apocryph.v0.AttestResult message")
	}
	out := &Endpoint{Claims: result.GetClaims(), Receipt: in.Receipt}
	if err := out.takeProvenance(in.Provenance); err != nil {
		return nil, err
	}
	if n := len(out.Claims); n > MaxClaims {
		return nil, tooLarge("claims", n, MaxClaims)
	}
	var err error
	if out.Log, err = in.Log.log(); err != nil {
		return nil, err
	}
	if out.Evidence, err = EvidenceFromWire(result.GetEvidence()); err != nil {
		return nil, err
	}
	if len(in.Identity) == 0 {
		return out, nil
	}
	var id attestpb.TpmIdentity
	if err := proto.Unmarshal(in.Identity, &id); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, reasonEndpoint, "tpm_identity is not an apocryph.v0.TpmIdentity message")
	}
	identity, err := IdentityFromWire(&id)
	if err != nil {
		return nil, err
	}
	out.Identity = &identity
	return out, nil
}

func (e *Endpoint) takeProvenance(list []json.RawMessage) error {
	if len(list) > maxBuilds {
		return tooLarge("the list of statements about builds", len(list), maxBuilds)
	}
	total := 0
	for _, p := range list {
		e.Provenance = append(e.Provenance, p)
		total += len(p)
	}
	if total > MaxStatements {
		return tooLarge("statements about builds", total, MaxStatements)
	}
	return nil
}

// Encode returns the request's JSON.
func (a Activate) Encode() ([]byte, error) {
	return encodeJSON(activateJSON{endpointVersion, a.ClaimsDigest[:], a.CredentialBlob, a.EncryptedSecret})
}

// DecodeActivate reads what [Activate.Encode] wrote.
func DecodeActivate(b []byte) (*Activate, error) {
	var in activateJSON
	if err := decodeJSON(b, &in, &in.Version); err != nil {
		return nil, err
	}
	if len(in.ClaimsDigest) != digestSize {
		return nil, status.New(status.InvalidArgument, reasonEndpoint, "claims_digest: got %d bytes, want %d", len(in.ClaimsDigest), digestSize)
	}
	out := &Activate{[32]byte(in.ClaimsDigest), Activation{in.CredentialBlob, in.EncryptedSecret}}
	if out.None() {
		return nil, status.New(status.InvalidArgument, reasonActivation, "the activation is empty")
	}
	return out, out.Check()
}

// Encode returns the answer's JSON.
func (a Activated) Encode() ([]byte, error) {
	return encodeJSON(activatedJSON{endpointVersion, a.Proof[:]})
}

// DecodeActivated reads what [Activated.Encode] wrote.
func DecodeActivated(b []byte) (*Activated, error) {
	var in activatedJSON
	if err := decodeJSON(b, &in, &in.Version); err != nil {
		return nil, err
	}
	if len(in.Proof) != digestSize {
		return nil, status.New(status.InvalidArgument, reasonEndpoint, "activation_proof: got %d bytes, want %d", len(in.Proof), digestSize)
	}
	return &Activated{[32]byte(in.Proof)}, nil
}

func encodeJSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, status.Wrap(err, status.Internal, reasonEndpoint, "encoding evidence of an endpoint")
	}
	return append(b, '\n'), nil
}

// decodeJSON is strict but for fields of later versions.
func decodeJSON(b []byte, v any, version *string) error {
	if len(b) > MaxEndpoint {
		return tooLarge("evidence of an endpoint", len(b), MaxEndpoint)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(v); err != nil {
		return status.Wrap(err, status.InvalidArgument, reasonEndpoint, "this is not evidence of an endpoint in JSON")
	}
	if dec.More() {
		return status.New(status.InvalidArgument, reasonEndpoint, "something follows the evidence")
	}
	if *version != endpointVersion {
		return status.New(status.InvalidArgument, reasonEndpoint, "version: got %.32q, want %q", *version, endpointVersion)
	}
	return nil
}
