package offer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"apocryph/proto/capacitypb"
	"apocryph/proto/status"
)

// Offer is a provider's answer to [Needs].
type Offer struct {
	// Provider and Publisher are libp2p peer ids in binary form.
	Provider, Publisher []byte
	// ID is the provider's name for the offer.
	ID string
	// ReservationID holds the resources until NotAfter; empty without reserve.
	ReservationID string
	// NotAfter is when the offer ends, in whole milliseconds.
	NotAfter  time.Time
	Resources []ResourceOffer
	// Available is true when every resource is offered.
	Available bool
	// Asset is a CAIP-19 asset or an ISO 4217 code; empty when all is free.
	Asset  string
	Prices []Price
	// MinimumCharge is in units of the asset; empty for none.
	MinimumCharge string
	// TotalPerHour is the price of the whole request, in units of the asset.
	TotalPerHour   string
	PaymentSchemes []string
	// PaymentAddress is a CAIP-10 account; empty when all is free.
	PaymentAddress string
	// RequestDigest is that of [RequestDigest].
	RequestDigest [32]byte
}

// ResourceOffer is one resource. Requested and Available are for people, such
// as "512Mi".
type ResourceOffer struct {
	Resource, Requested, Available string
	Offered                        bool
	// Reason says why it falls short; empty when offered.
	Reason string
}

// Price is the price of one unit of a resource for one second, a decimal
// string. It is rounded; the total of an offer is worked out from exact prices.
type Price struct{ Resource, Unit, PerUnitSecond string }

// Signed is an offer's exact bytes and their signature.
type Signed struct{ Offer, Signature []byte }

// domain keeps a signature over an offer from being one over anything else.
const domain = "apocryph/offer/0.0.1\x00"

// Digest is the SHA-256 of the offer's bytes.
func (s Signed) Digest() [32]byte { return sha256.Sum256(s.Offer) }

// ToWire converts for the capacity protocol.
func (s Signed) ToWire() *capacitypb.SignedOffer {
	return &capacitypb.SignedOffer{Offer: s.Offer, Signature: s.Signature}
}

// SignedFromWire converts what a peer sent. Nothing is checked before [Open].
func SignedFromWire(in *capacitypb.SignedOffer) Signed {
	return Signed{Offer: in.GetOffer(), Signature: in.GetSignature()}
}

// Sign encodes an offer and signs it with the provider's receipt key: Ed25519
// over "apocryph/offer/0.0.1\0" and the bytes. An offer that [Open] would not
// accept at any time is an internal error.
func Sign(offer Offer, key ed25519.PrivateKey) (Signed, error) {
	if len(key) != ed25519.PrivateKeySize {
		return Signed{}, status.New(status.Internal, "offer.key", "the receipt key has %d bytes", len(key))
	}
	w := offer.toWire()
	if faults := offerFaults(w); len(faults) > 0 {
		return Signed{}, status.New(status.Internal, "offer.invalid", "the offer is not valid: %s", faults[0])
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(w)
	if err != nil {
		return Signed{}, fmt.Errorf("encoding offer: %w", err)
	}
	if len(b) > MaxBytes {
		return Signed{}, status.New(status.Internal, "offer.size", "the offer has %d bytes", len(b))
	}
	return Signed{Offer: b, Signature: ed25519.Sign(key, append([]byte(domain), b...))}, nil
}

// Open verifies a signed offer against the attested receipt key, and that it
// has not ended at now. Codes: untrusted offer.signature; unavailable
// offer.malformed, offer.expired. It does not look at whom the offer is for,
// see [Offer.Matches].
func Open(signed Signed, receiptKey ed25519.PublicKey, now time.Time) (Offer, error) {
	if len(signed.Offer) > MaxBytes {
		return Offer{}, malformed("it has %d bytes, at most %d are allowed", len(signed.Offer), MaxBytes)
	}
	if len(receiptKey) != ed25519.PublicKeySize ||
		!ed25519.Verify(receiptKey, append([]byte(domain), signed.Offer...), signed.Signature) {
		return Offer{}, status.New(status.Untrusted, "offer.signature", "the offer is not signed by the attested receipt key")
	}
	var w capacitypb.Offer
	if err := proto.Unmarshal(signed.Offer, &w); err != nil {
		return Offer{}, malformed("its bytes are not an offer")
	}
	if hasUnknown(w.ProtoReflect()) {
		return Offer{}, malformed("it has terms that this version does not know")
	}
	if faults := offerFaults(&w); len(faults) > 0 {
		e := malformed("%s", faults[0])
		e.Faults = faults
		return Offer{}, e
	}
	out := offerFromWire(&w)
	if !now.Before(out.NotAfter) {
		return Offer{}, status.New(status.Unavailable, "offer.expired", "the offer ended at %s", out.NotAfter.UTC().Format(time.RFC3339)).
			WithHint("ask again; when it happens at once, compare the clocks of both machines")
	}
	return out, nil
}

func malformed(format string, args ...any) *status.Error {
	return status.New(status.Unavailable, "offer.malformed", "the provider's offer is not valid: "+format, args...)
}

// Matches checks that the offer is from provider, for publisher and for this
// request. The error is untrusted, offer.mismatch.
func (o Offer) Matches(provider, publisher []byte, request [32]byte) error {
	what := ""
	switch {
	case !bytes.Equal(o.Provider, provider):
		what = "provider"
	case !bytes.Equal(o.Publisher, publisher):
		what = "publisher"
	case o.RequestDigest != request:
		what = "request"
	default:
		return nil
	}
	return status.New(status.Untrusted, "offer.mismatch", "the offer was made for another %s", what)
}
