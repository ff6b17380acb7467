package attest

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

const activateTag = "apocryph/attest/0.0.1/activate\x00"

// ActivationProof is HMAC-SHA256(secret, "apocryph/attest/0.0.1/activate\0" ||
// claimsDigest), 32 bytes, with claimsDigest from [ClaimsDigest]. Only who
// activated the credential knows the secret, and the proof is good for these
// claims alone.
func ActivationProof(secret []byte, claimsDigest [32]byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(activateTag))
	h.Write(claimsDigest[:])
	return h.Sum(nil)
}

// ProveActivation adds the proof of an activation to evidence of a TPM.
func ProveActivation(e Evidence, claims, secret []byte) Evidence {
	q := *e.TPM
	q.ActivationProof = ActivationProof(secret, ClaimsDigest(claims))
	e.TPM = &q
	return e
}

// String is the purpose's name, as policies and messages write it.
func (p Purpose) String() string {
	switch p {
	case PurposeProvision:
		return "provision"
	case PurposeEndpoint:
		return "endpoint"
	case PurposeOffer:
		return "offer"
	case PurposeBuild:
		return "build"
	}
	return fmt.Sprintf("purpose %d", uint8(p))
}

// claims checks every length. Whether the values are those of the challenge is
// for apocryph/attest/verify to say.
func (f *faults) claims(c *Claims) {
	if c.Purpose < PurposeProvision || c.Purpose > PurposeBuild {
		f.add("purpose", fmt.Sprint(uint8(c.Purpose)), "1 to 4")
	}
	f.size("nonce", len(c.Nonce), NonceSize, NonceSize)
	// A user of an endpoint has no peer id.
	if c.Purpose != PurposeEndpoint || len(c.VerifierPeer) > 0 {
		f.size("verifier_peer", len(c.VerifierPeer), 1, maxPeerID)
	}
	f.size("provider_peer", len(c.ProviderPeer), 1, maxPeerID)
	f.size("hpke_public_key", len(c.HPKEPublicKey), 32, 32)
	f.size("receipt_public_key", len(c.ReceiptPublicKey), 32, 32)
	f.optional("ingress_tls_key", c.IngressTLSKey, digestSize)
	f.optional("tpm_ak_name", c.TPMAKName, akNameSize)
	f.optional("offer_digest", c.OfferDigest, digestSize)
	f.size("boot_epoch", len(c.BootEpoch), 0, maxOpaque)
	f.size("pod_log_head", len(c.PodLogHead), 0, maxOpaque)
	f.text("register", c.Register)
	f.text("agent_version", c.AgentVersion)
	f.text("storage", c.Storage)
	f.text("host", c.Host)
	if c.Pod != nil {
		f.pod(c.Pod)
	}
}

func (f *faults) pod(p *PodClaims) {
	f.text("pod.pod_id", p.PodID)
	f.size("pod.manifest_digest", len(p.ManifestDigest), digestSize, digestSize)
	for i, image := range p.Images {
		at := fmt.Sprintf("pod.images[%d].", i)
		f.text(at+"container", image.Container)
		f.text(at+"cid", image.CID)
		f.text(at+"image_id", image.ImageID)
	}
	f.count("pod.provenance_digests", len(p.ProvenanceDigests), MaxProvenance)
	for i, d := range p.ProvenanceDigests[:min(len(p.ProvenanceDigests), MaxProvenance)] {
		f.size(fmt.Sprintf("pod.provenance_digests[%d]", i), len(d), digestSize, digestSize)
	}
}

func (f *faults) optional(field string, b []byte, size int) {
	if len(b) != 0 && len(b) != size {
		f.add(field, fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("0 or %d", size))
	}
}

// text allows printable ASCII only: these values are shown to people, and a
// terminal's control sequences could make a refusal look like something else.
func (f *faults) text(field, s string) {
	f.size(field, len(s), 0, maxName)
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			f.add(field, fmt.Sprintf("byte 0x%02x", s[i]), "printable ASCII")
			return
		}
	}
}
