package provider

import (
	"time"

	"apocryph/manifest"
)

// Record is what survives of a pod. Manifest, Keys, Secrets, Confirm and Release are
// secret: the store seals them.
type Record struct {
	ID        PodID
	Publisher PublisherID
	Name      string
	// Revision grows by one with each accepted create or update.
	Revision uint64
	State    State
	// Reason says in one sentence why the pod is in State.
	Reason string
	// RequestID is that of the request that made this revision.
	RequestID      [16]byte
	ManifestDigest manifest.Digest
	// Manifest is the canonical bytes. They hold the values of the environment.
	Manifest []byte
	// Keys are the images' private keys (PKCS #8 DER), by key id.
	Keys map[string][]byte
	// Secrets are the files of secret volumes, by volume and file name.
	Secrets map[string]map[string][]byte
	// Confirm is the answer that proves possession of the key that the request
	// was sealed to. A repeated request gets it again.
	Confirm []byte
	// Release is where the transparency log has the release of this revision's
	// keys; nil for records of versions that kept no log. Its salt is secret.
	Release *KeyRelease
	// Endpoints are stable across restarts and revisions.
	Endpoints     []Endpoint
	OfferID       string
	PaymentScheme string
	// PolicyVersion is that of the publisher's policy, 0 where none came along.
	PolicyVersion int
	// Obsolete are instances of earlier revisions that are still to be removed.
	Obsolete         []InstanceID
	Created, Updated time.Time
	// Locked says that the secret fields are sealed with the data key of another
	// measured state and missing here. The rest is then as it lies on the disk:
	// nobody vouches for it but the pod's id, which follows from publisher and
	// name. A locked record is never stored.
	Locked bool
}

// Endpoint is one way to reach a container from outside.
type Endpoint struct {
	Container string
	// Target is the port that the container listens on.
	Target uint16
	// Port is the external port; for HTTP it is that of the ingress.
	Port     uint16
	Protocol manifest.Protocol
	// Host is the host name of an HTTP endpoint.
	Host string
	// URL is what a person opens: "http://HOST:PORT/", "tcp://IP:PORT" or "udp://IP:PORT".
	URL string
	// Dial is the address, "IP:PORT", that reaches it where Host does not resolve.
	Dial string
	// HostIP is the address that a TCP or UDP port is bound to; empty means all.
	HostIP string
}
