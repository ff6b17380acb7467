package attest

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

// EncodeClaims returns the bytes that evidence binds. One set of claims has one
// encoding: fields ascend, defaults are left out. Text that is not UTF-8, which
// the format cannot carry, has its bad bytes replaced.
func EncodeClaims(c *Claims) []byte {
	m := &attestpb.Claims{
		Purpose:          attestpb.Purpose(c.Purpose),
		Nonce:            c.Nonce,
		VerifierPeer:     c.VerifierPeer,
		ProviderPeer:     c.ProviderPeer,
		HpkePublicKey:    c.HPKEPublicKey,
		ReceiptPublicKey: c.ReceiptPublicKey,
		IngressTlsKey:    c.IngressTLSKey,
		TpmAkName:        c.TPMAKName,
		BootEpoch:        c.BootEpoch,
		PodLogHead:       c.PodLogHead,
		PodLogLength:     c.PodLogLength,
		Register:         valid(c.Register),
		OfferDigest:      c.OfferDigest,
		AgentVersion:     valid(c.AgentVersion),
		IssuedAt:         millis(c.IssuedAt),
		ExpiresAt:        millis(c.ExpiresAt),
		Storage:          valid(c.Storage),
		Host:             valid(c.Host),
	}
	if p := c.Pod; p != nil {
		m.Pod = &attestpb.PodClaims{
			PodId:             valid(p.PodID),
			ManifestDigest:    p.ManifestDigest,
			ProvenanceDigests: p.ProvenanceDigests,
		}
		for _, i := range p.Images {
			m.Pod.Images = append(m.Pod.Images, &attestpb.ImageClaims{
				Container: valid(i.Container), Cid: valid(i.CID), ImageId: valid(i.ImageID),
			})
		}
	}
	// Marshalling fails on text that is not UTF-8 only, which was made valid above.
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return b
}

// DecodeClaims reads claims from the bytes that came, at most [MaxClaims] of
// them. Every length is checked and every fault is reported: invalid_argument,
// reason "attest.claims". Fields of later versions are passed over, since the
// digest is always of the bytes that came.
func DecodeClaims(b []byte) (*Claims, error) {
	if len(b) > MaxClaims {
		return nil, tooLarge("claims", len(b), MaxClaims)
	}
	var m attestpb.Claims
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, reasonClaims, "the claims are not an apocryph.v0.Claims message")
	}
	var f faults
	purpose := m.GetPurpose()
	if purpose < 0 || purpose > 255 {
		purpose = attestpb.Purpose_PURPOSE_UNSPECIFIED
	}
	c := &Claims{
		Purpose:          Purpose(purpose),
		Nonce:            m.GetNonce(),
		VerifierPeer:     m.GetVerifierPeer(),
		ProviderPeer:     m.GetProviderPeer(),
		HPKEPublicKey:    m.GetHpkePublicKey(),
		ReceiptPublicKey: m.GetReceiptPublicKey(),
		IngressTLSKey:    m.GetIngressTlsKey(),
		TPMAKName:        m.GetTpmAkName(),
		BootEpoch:        m.GetBootEpoch(),
		PodLogHead:       m.GetPodLogHead(),
		PodLogLength:     m.GetPodLogLength(),
		Register:         m.GetRegister(),
		OfferDigest:      m.GetOfferDigest(),
		AgentVersion:     m.GetAgentVersion(),
		IssuedAt:         f.time("issued_at", m.GetIssuedAt()),
		ExpiresAt:        f.time("expires_at", m.GetExpiresAt()),
		Storage:          m.GetStorage(),
		Host:             m.GetHost(),
	}
	if p := m.GetPod(); p != nil {
		c.Pod = &PodClaims{
			PodID: p.GetPodId(), ManifestDigest: p.GetManifestDigest(), ProvenanceDigests: p.GetProvenanceDigests(),
		}
		f.count("pod.images", len(p.GetImages()), MaxContainers)
		for _, i := range p.GetImages()[:min(len(p.GetImages()), MaxContainers)] {
			c.Pod.Images = append(c.Pod.Images, ImageClaims{Container: i.GetContainer(), CID: i.GetCid(), ImageID: i.GetImageId()})
		}
	}
	f.claims(c)
	if err := f.err(reasonClaims, "claims"); err != nil {
		return nil, err
	}
	return c, nil
}

// EvidenceToWire is the form of evidence in an AttestResult.
func EvidenceToWire(evidence []Evidence) []*attestpb.Evidence {
	var out []*attestpb.Evidence
	for _, e := range evidence {
		m := &attestpb.Evidence{Type: string(e.Type), Report: e.Report, Certificates: e.Certificates}
		if q := e.TPM; q != nil {
			m.Tpm = &attestpb.TpmQuote{Quoted: q.Quoted, Signature: q.Signature, ActivationProof: q.ActivationProof}
			for _, p := range q.PCRs {
				m.Tpm.Pcrs = append(m.Tpm.Pcrs, &attestpb.Pcr{Bank: p.Bank, Index: p.Index, Value: p.Value})
			}
		}
		m.BootLog = e.BootLog
		for _, x := range e.Endorsements {
			m.Endorsements = append(m.Endorsements, &attestpb.Endorsement{Kind: valid(string(x.Kind)), Body: x.Body, Chain: x.Chain})
		}
		out = append(out, m)
	}
	return out
}

// EvidenceFromWire takes evidence from an AttestResult, within the caps of this
// package: invalid_argument, reason "attest.evidence", otherwise.
func EvidenceFromWire(evidence []*attestpb.Evidence) ([]Evidence, error) {
	if n := len(evidence); n > MaxEvidence {
		return nil, status.New(status.InvalidArgument, reasonEvidence, "got %d pieces of evidence, want at most %d", n, MaxEvidence)
	}
	var out []Evidence
	for _, m := range evidence {
		e := Evidence{Type: Type(m.GetType()), Report: m.GetReport(), Certificates: m.GetCertificates()}
		if q := m.GetTpm(); q != nil {
			e.TPM = &TPMQuote{Quoted: q.GetQuoted(), Signature: q.GetSignature(), ActivationProof: q.GetActivationProof()}
			// One more than the cap lets Check refuse without copying them all.
			for _, p := range q.GetPcrs()[:min(len(q.GetPcrs()), MaxPCRs+1)] {
				e.TPM.PCRs = append(e.TPM.PCRs, PCR{Bank: p.GetBank(), Index: p.GetIndex(), Value: p.GetValue()})
			}
		}
		e.BootLog = m.GetBootLog()
		for _, x := range m.GetEndorsements()[:min(len(m.GetEndorsements()), MaxEndorsements+1)] {
			e.Endorsements = append(e.Endorsements, Endorsement{Kind: Kind(x.GetKind()), Body: x.GetBody(), Chain: x.GetChain()})
		}
		if err := e.Check(); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// IdentityToWire is the form of a TPM's identity in an AttestEvent.
func IdentityToWire(id TPMIdentity) *attestpb.TpmIdentity {
	return &attestpb.TpmIdentity{EkCertificates: id.EKCertificates, EkPublic: id.EKPublic, AkPublic: id.AKPublic, Bound: id.Bound}
}

// IdentityFromWire takes a TPM's identity from an AttestEvent, within the caps
// of this package: invalid_argument, reason "attest.identity", otherwise.
func IdentityFromWire(m *attestpb.TpmIdentity) (TPMIdentity, error) {
	id := TPMIdentity{EKCertificates: m.GetEkCertificates(), EKPublic: m.GetEkPublic(), AKPublic: m.GetAkPublic(), Bound: m.GetBound()}
	if err := id.Check(); err != nil {
		return TPMIdentity{}, err
	}
	return id, nil
}

// ActivationToWire is the form of an activation on the wire.
func ActivationToWire(a Activation) *attestpb.AttestActivate {
	return &attestpb.AttestActivate{CredentialBlob: a.CredentialBlob, EncryptedSecret: a.EncryptedSecret}
}

// ActivationFromWire takes an activation from the wire, within the caps of this
// package: invalid_argument, reason "attest.activation", otherwise.
func ActivationFromWire(m *attestpb.AttestActivate) (Activation, error) {
	a := Activation{CredentialBlob: m.GetCredentialBlob(), EncryptedSecret: m.GetEncryptedSecret()}
	if err := a.Check(); err != nil {
		return Activation{}, err
	}
	return a, nil
}

// PurposeFromWire takes a purpose from the wire; one that this version does not
// know is invalid_argument, reason "attest.purpose".
func PurposeFromWire(p attestpb.Purpose) (Purpose, error) {
	if p <= 0 || p > attestpb.Purpose(PurposeBuild) {
		return 0, status.New(status.InvalidArgument, "attest.purpose", "purpose: got %d, want 1 (provision), 2 (endpoint), 3 (offer) or 4 (build)", p)
	}
	return Purpose(p), nil
}

// PurposeToWire is the purpose's number on the wire.
func PurposeToWire(p Purpose) attestpb.Purpose { return attestpb.Purpose(p) }

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// millis keeps the zero time a default value, which is left out.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
