package attest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"time"
)

// NonceSize is the length of a challenge's nonce in bytes.
const NonceSize = 32

// Type is a kind of evidence.
type Type string

// The types of evidence.
const (
	// Soft is an SNP-shaped report by a software device under a development CA. NOT SECURE.
	Soft   Type = "soft"
	SEVSNP Type = "sev-snp"
	TDX    Type = "tdx"
	TPM2   Type = "tpm2"
)

// Purpose keeps evidence for one use from serving another. The numbers are
// those of the wire.
type Purpose uint8

// The purposes.
const (
	PurposeProvision Purpose = 1
	PurposeEndpoint  Purpose = 2
	PurposeOffer     Purpose = 3
	PurposeBuild     Purpose = 4
)

// Level is how much evidence proves. Levels are ordered but for their kinds:
// a policy names the ones that it accepts.
type Level string

// The levels, weakest first.
const (
	LevelSoft            Level = "soft"
	LevelTPMIdentity     Level = "tpm2-identity"
	LevelTPMMeasuredBoot Level = "tpm2-measured-boot"
	LevelSNP             Level = "sev-snp"
	LevelTDX             Level = "tdx"
)

// Anchor is what makes a claim believable.
type Anchor string

// The anchors, strongest first.
const (
	AnchorHardware      Anchor = "hardware"
	AnchorVTPMHardware  Anchor = "vtpm-hw-bound"
	AnchorVTPMCA        Anchor = "vtpm-ca"
	AnchorAgentAsserted Anchor = "agent-asserted"
	AnchorSelf          Anchor = "self"
)

// Challenge is what a verifier asks evidence for.
type Challenge struct {
	Purpose Purpose
	Nonce   [NonceSize]byte
	// VerifierPeer and ProviderPeer are binary libp2p peer ids; ProviderPeer is
	// the authenticated other end of the stream. A user of an endpoint has no peer
	// id and learns the provider's from the claims.
	VerifierPeer, ProviderPeer []byte
	// Host is the app's host name, as users write it and without a port: for
	// [PurposeEndpoint] alone, where it takes the peers' place.
	Host string
	// TLSKey is the SHA-256 of the SubjectPublicKeyInfo that the endpoint's
	// connection was made with; nil where there was none. Endpoints only.
	TLSKey []byte
}

// Claims is what evidence binds. Decode it from the bytes that came; the
// digest is always of those, never of a re-encoding.
type Claims struct {
	Purpose      Purpose
	Nonce        []byte
	VerifierPeer []byte
	ProviderPeer []byte
	// HPKEPublicKey is an X25519 public key, 32 bytes.
	HPKEPublicKey []byte
	// ReceiptPublicKey is an Ed25519 public key, 32 bytes.
	ReceiptPublicKey []byte
	IngressTLSKey    []byte
	TPMAKName        []byte
	BootEpoch        []byte
	PodLogHead       []byte
	PodLogLength     uint64
	Register         string
	Pod              *PodClaims
	OfferDigest      []byte
	AgentVersion     string
	IssuedAt         time.Time
	ExpiresAt        time.Time
	Storage          string
	// Host is the app's host name that evidence of an endpoint is for.
	Host string
}

// PodClaims is what is claimed of one pod.
type PodClaims struct {
	PodID             string
	ManifestDigest    []byte
	Images            []ImageClaims
	ProvenanceDigests [][]byte
}

// ImageClaims is what is claimed of one container's image.
type ImageClaims struct{ Container, CID, ImageID string }

// Evidence is one device's statement about the claims.
type Evidence struct {
	Type Type
	// Report is the raw report or quote; empty for TPM2.
	Report []byte
	// Certificates are endorsements that came along, DER, leaf first. They are
	// never roots.
	Certificates [][]byte
	TPM          *TPMQuote
	// Endorsements are what vendors say of the hardware's state.
	Endorsements []Endorsement
	// BootLog is the firmware's event log: in the form of TCG's PC Client
	// Platform Firmware Profile, 10, for TPM2, and of a CCEL area for TDX.
	BootLog []byte
}

// Kind is what an endorsement is about.
type Kind string

// The kinds of endorsements. TCB info and QE identity are signed JSON of
// Intel's provisioning certification service, the others DER revocation lists.
const (
	TDXTCBInfo    Kind = "tdx-tcb-info"
	TDXQEIdentity Kind = "tdx-qe-identity"
	TDXRootCRL    Kind = "tdx-root-crl"
	TDXPCKCRL     Kind = "tdx-pck-crl"
	SNPCRL        Kind = "snp-crl"
)

// Endorsement is a signed statement about hardware, as its vendor publishes it.
type Endorsement struct {
	Kind Kind
	// Body is the exact bytes that were signed or the revocation list.
	Body []byte
	// Chain is who signed it, DER, leaf first; empty for revocation lists.
	Chain [][]byte
}

// Endorsed returns the endorsement of a kind, and false where there is none.
func (e Evidence) Endorsed(k Kind) (Endorsement, bool) {
	for _, x := range e.Endorsements {
		if x.Kind == k {
			return x, true
		}
	}
	return Endorsement{}, false
}

// TPMQuote is a TPM 2.0 quote.
type TPMQuote struct {
	// Quoted is a TPMS_ATTEST, Signature a TPMT_SIGNATURE (TPM 2.0 Part 2, 10.12.8 and 11.3.4).
	Quoted, Signature []byte
	PCRs              []PCR
	// ActivationProof shows that the attestation key sits in the TPM whose
	// endorsement key the verifier encrypted a secret to. See [ActivationProof]. It is
	// empty where the verifier asked for none.
	ActivationProof []byte
}

// PCR is one platform configuration register.
type PCR struct {
	// Bank is "sha256" or "sha384".
	Bank  string
	Index uint32
	Value []byte
}

// TPMIdentity is which TPM a provider says it has.
type TPMIdentity struct {
	// EKCertificates is the endorsement key's chain, DER, leaf first.
	EKCertificates [][]byte
	// EKPublic and AKPublic are TPMT_PUBLIC areas.
	EKPublic, AKPublic []byte
	// Bound says that the attestation key is named in the claims of a report that
	// comes along: composite evidence, for which no activation is made and no
	// endorsement key need be shown. Nobody gains by lying about it, since such a
	// quote alone is refused.
	Bound bool
}

// Activation is a secret encrypted to a TPM's endorsement key and bound to one
// attestation key: the input of TPM2_ActivateCredential.
type Activation struct {
	CredentialBlob, EncryptedSecret []byte
}

// None reports whether a verifier asks for no activation: it remembers one of
// these same keys.
func (a Activation) None() bool { return len(a.CredentialBlob) == 0 && len(a.EncryptedSecret) == 0 }

const (
	reportTag = "apocryph/attest/0.0.1\x00"
	quoteTag  = "apocryph/attest/0.0.1/tpm\x00"
)

// ClaimsDigest is the SHA-256 of the claims' bytes: their name in requests.
func ClaimsDigest(claims []byte) [32]byte { return sha256.Sum256(claims) }

// ReportData is the 64 bytes that an SNP or TDX report carries for claims. The
// length keeps two different concatenations from having one digest.
func ReportData(claims []byte) [64]byte {
	h := sha512.New()
	bindInto(h.Write, reportTag, claims)
	return [64]byte(h.Sum(nil))
}

// QualifyingData is the 32 bytes that a TPM quote carries for claims.
func QualifyingData(claims []byte) [32]byte {
	h := sha256.New()
	bindInto(h.Write, quoteTag, claims)
	return [32]byte(h.Sum(nil))
}

func bindInto(write func([]byte) (int, error), tag string, claims []byte) {
	// A hash's Write never returns an error.
	_, _ = write([]byte(tag))
	_, _ = write(binary.BigEndian.AppendUint32(nil, uint32(len(claims))))
	_, _ = write(claims)
}
