package rpc

import (
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	"apocryph/p2p"
)

// Protocol is what both sides agree on about one kind of call.
type Protocol struct {
	ID protocol.ID
	// Aliases are further ids that are answered; calls are made under ID.
	Aliases []protocol.ID
	// MaxRequest and MaxResponse bound one frame in bytes, without its length
	// prefix: a stranger who announces a large one makes this side allocate it.
	MaxRequest, MaxResponse int
	// Timeout bounds the whole call; 0 leaves it to the caller's context.
	Timeout time.Duration
	// IdleTimeout bounds how long a frame may take from its first byte to its
	// last, how long the request and a dialog's next frame are waited for, and how
	// long a peer may leave a frame that was sent to it unread: against slow readers
	// and writers that hold a call open.
	IdleTimeout time.Duration
	// PerPeer and Total bound the calls answered at once.
	PerPeer, Total int
	// Dialog is set where the caller sends more frames after the request.
	Dialog bool
}

const (
	// MaxSealed bounds SealedProvision in bytes: manifest, secrets, keys and policy.
	MaxSealed = 4 << 20
	// sealedOverhead is for the clear fields around it, the HPKE tag and the key.
	sealedOverhead = 4 << 10
)

// The protocols. They are constants: copy one to change it.
var (
	// Attest asks for evidence. Responses hold certificate chains and quotes with
	// their collateral. Its reply may need the caller's answer to a TpmIdentity.
	Attest = define(p2p.AttestID, Protocol{
		MaxRequest: 64 << 10, MaxResponse: 1 << 20, Timeout: time.Minute, IdleTimeout: 20 * time.Second, Dialog: true,
	})
	// Capacity asks for an offer.
	Capacity = define(p2p.CapacityID, Protocol{
		MaxRequest: 64 << 10, MaxResponse: 256 << 10, Timeout: 20 * time.Second, IdleTimeout: 10 * time.Second,
	})
	// Provision deploys a pod. It may fetch gigabytes, so that only the caller's
	// context bounds it; the stream may break without harm to the pod.
	Provision = define(p2p.ProvisionID, Protocol{
		MaxRequest: MaxSealed + sealedOverhead, MaxResponse: 256 << 10, IdleTimeout: time.Minute,
	})
	// Pod looks at and deletes pods. Followed logs have no end.
	Pod = define(p2p.PodID, Protocol{
		MaxRequest: 16 << 10, MaxResponse: 1 << 20, IdleTimeout: 30 * time.Second,
	})
)

// define takes aliases and numbers of calls from the table that the resource
// manager has, too.
func define(id protocol.ID, p Protocol) Protocol {
	p.ID = id
	for _, limit := range p2p.Protocols() {
		if limit.ID != id {
			continue
		}
		p.PerPeer, p.Total = limit.PerPeer, limit.Total
		if limit.Alias != "" {
			p.Aliases = []protocol.ID{limit.Alias}
		}
	}
	return p
}

// idle is IdleTimeout with its default.
func (p Protocol) idle() time.Duration {
	if p.IdleTimeout <= 0 {
		return 30 * time.Second
	}
	return p.IdleTimeout
}
