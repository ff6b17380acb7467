package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/discoverypb"
	"apocryph/proto/status"
)

const (
	// envelopeDomain keeps a signature on an advert from serving as one on anything else.
	envelopeDomain = "apocryph-advert"
	// payloadType is the envelope's codec. libp2p asks for any bytes of one's own.
	payloadType = "/apocryph/advert/0.0.1"
	// maxEnvelope bounds a sealed advert in bytes. Anyone can serve one.
	maxEnvelope = 16 << 10
)

// payload is a record.Record over bytes that stay as they are.
type payload struct{ raw []byte }

func (p *payload) Domain() string { return envelopeDomain }

func (p *payload) Codec() []byte { return []byte(payloadType) }

func (p *payload) MarshalRecord() ([]byte, error) { return p.raw, nil }

func (p *payload) UnmarshalRecord(b []byte) error {
	p.raw = b
	return nil
}

// Seal validates an advert and signs it with the provider's peer key. now is
// what its validity is measured from.
func Seal(a Advert, key crypto.PrivKey, now time.Time) ([]byte, error) {
	if err := a.validate(now); err != nil {
		return nil, err
	}
	if !a.Peer.MatchesPrivateKey(key) {
		return nil, status.New(status.InvalidArgument, "advert.key", "advert of %s: the key is another peer's", a.Peer)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(a.toWire())
	if err != nil {
		return nil, fmt.Errorf("encoding advert: %w", err)
	}
	env, err := record.Seal(&payload{raw}, key)
	if err != nil {
		return nil, fmt.Errorf("signing advert: %w", err)
	}
	b, err := env.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encoding advert: %w", err)
	}
	if len(b) > maxEnvelope {
		return nil, status.New(status.InvalidArgument, "advert.size", "the advert has %d bytes, at most %d are allowed", len(b), maxEnvelope)
	}
	return b, nil
}

// Open checks a sealed advert that came from a peer: signed by that very peer,
// about itself, neither expired at now nor valid for more than [MaxValidity],
// and every part within its cap. Its errors are status.Untrusted where the
// signature or the peer is wrong, and status.InvalidArgument otherwise.
func Open(envelope []byte, from peer.ID, now time.Time) (Advert, error) {
	a, err := unseal(envelope)
	if err != nil {
		return Advert{}, err
	}
	if a.Peer != from {
		return Advert{}, status.New(status.Untrusted, "advert.foreign", "advert of %s, want one of %s who sent it", a.Peer, from)
	}
	if err := a.validate(now); err != nil {
		return Advert{}, err
	}
	return a, nil
}

// unseal checks all but the peer that it came from, the time and the caps.
func unseal(envelope []byte) (a Advert, err error) {
	// The key and address parsers are other people's and eat a stranger's bytes.
	defer func() {
		if r := recover(); r != nil {
			a, err = Advert{}, malformed(fmt.Errorf("parser panicked: %v", r))
		}
	}()
	if len(envelope) > maxEnvelope {
		return Advert{}, malformed(fmt.Errorf("got %d bytes, want at most %d", len(envelope), maxEnvelope))
	}
	var p payload
	env, err := record.ConsumeTypedEnvelope(envelope, &p)
	if errors.Is(err, record.ErrInvalidSignature) {
		return Advert{}, status.Wrap(err, status.Untrusted, "advert.signature", "the advert's signature is wrong")
	}
	if err != nil {
		return Advert{}, malformed(err)
	}
	if !bytes.Equal(env.PayloadType, p.Codec()) {
		return Advert{}, malformed(errors.New("the envelope holds something else"))
	}
	var w discoverypb.Advert
	if err := proto.Unmarshal(p.raw, &w); err != nil {
		return Advert{}, malformed(err)
	}
	a, err = fromWire(&w)
	if err != nil {
		return Advert{}, malformed(err)
	}
	if !a.Peer.MatchesPublicKey(env.PublicKey) {
		return Advert{}, status.New(status.Untrusted, "advert.signer", "advert of %s is signed by another peer", a.Peer)
	}
	return a, nil
}

func malformed(err error) error {
	return status.Wrap(err, status.InvalidArgument, "advert.malformed", "the advert cannot be read")
}
