package p2p

import "github.com/libp2p/go-libp2p/core/protocol"

// The protocol ids, as proto/README.md has them.
const (
	AttestID    protocol.ID = "/apocryph/attest/0.0.1"
	CapacityID  protocol.ID = "/apocryph/provisioning-capacity/0.0.1"
	ProvisionID protocol.ID = "/apocryph/provision-pod/0.0.1"
	PodID       protocol.ID = "/apocryph/pod/0.0.1"
	AdvertID    protocol.ID = "/apocryph/advert/0.0.1"
	ContentID   protocol.ID = "/apocryph/content/0.0.1"
)

// The ids under which the first implementation spoke the same protocols.
const (
	AttestAlias    protocol.ID = "/x/apocryph/attest/0.0.1"
	CapacityAlias  protocol.ID = "/x/apocryph/provisioning-capacity/0.0.1"
	ProvisionAlias protocol.ID = "/x/apocryph/provision-pod/0.0.1"
)

// ProtocolLimit is how many calls of one protocol a node answers at once.
type ProtocolLimit struct {
	// ID is the protocol; Alias another id of the same, or "".
	ID, Alias protocol.ID
	// PerPeer and Total are calls in progress, from one peer and from all. A call
	// beyond them is refused with resource_exhausted. Twice as many streams are
	// let through by the resource manager, so that there is room to say so; what
	// comes on top is reset.
	PerPeer, Total int
	// Memory is what one call may hold for frames, in bytes.
	Memory int64
}

// Protocols is the table of limits of this project's protocols, in one place
// because the resource manager and the handlers must agree.
func Protocols() []ProtocolLimit {
	return []ProtocolLimit{
		// A quote occupies a TPM for up to a second: few at a time.
		{ID: AttestID, Alias: AttestAlias, PerPeer: 4, Total: 64, Memory: 2 << 20},
		{ID: CapacityID, Alias: CapacityAlias, PerPeer: 4, Total: 64, Memory: 1 << 20},
		{ID: ProvisionID, Alias: ProvisionAlias, PerPeer: 4, Total: 32, Memory: 6 << 20},
		// Followed logs stay open for hours.
		{ID: PodID, PerPeer: 16, Total: 256, Memory: 2 << 20},
		{ID: AdvertID, PerPeer: 2, Total: 128, Memory: 64 << 10},
		// One stream for each blob in flight.
		{ID: ContentID, PerPeer: 16, Total: 64, Memory: 8 << 20},
	}
}
