package provider

import (
	"context"

	"apocryph/attest"
	"apocryph/manifest"
	"apocryph/manifest/offer"
)

// Store keeps records durably. When a call returns, what it did survives a
// kill -9; when it fails, nothing changed.
type Store interface {
	Save(ctx context.Context, r Record) error
	Load(ctx context.Context) ([]Record, error)
	Delete(ctx context.Context, id PodID) error
}

// Capacity is what this machine has left, and who holds it.
type Capacity interface {
	Quote(ctx context.Context, publisher PublisherID, needs offer.Needs) (offer.Offer, error)
	// Commit charges a pod, in place of what it was charged before, and uses up
	// the reservation; an empty one is allowed. It refuses to overcommit.
	Commit(ctx context.Context, publisher PublisherID, pod PodID, needs offer.Needs, reservation string) error
	Release(pod PodID)
}

// Charges restores what pods are charged after a restart.
type Charges interface {
	Restore(pod PodID, needs offer.Needs)
}

// Names hands out host names and external ports.
type Names interface {
	// Assign chooses an endpoint for each port, keeping those that the pod held.
	Assign(publisher PublisherID, pod PodID, m *manifest.Manifest, held []Endpoint) ([]Endpoint, error)
}

// Routes sends traffic from endpoints to instances.
type Routes interface {
	// Publish replaces a pod's routes; backends are its replicas.
	Publish(pod PodID, endpoints []Endpoint, backends []Backend) error
	// Explain sets what is answered while no backend does.
	Explain(pod PodID, reason string)
	Withdraw(pod PodID)
}

// Drains knows what is still under way to where routes no longer lead.
type Drains interface {
	// Drain waits until no request and no connection of a pod goes to a backend
	// that was replaced, or until ctx ends.
	Drain(ctx context.Context, pod PodID)
}

// Backend is a replica that gets traffic. While an update is under way, replicas
// of two revisions may be among the backends, one after the other.
type Backend struct {
	// Addr is its own IP address.
	Addr string
	// Manifest is the digest of the manifest that it runs, ImageIDs are those of
	// its containers' images, "sha256:HEX".
	Manifest manifest.Digest
	ImageIDs []string
}

// Device produces evidence about this machine.
type Device interface {
	Type() attest.Type
	Attest(ctx context.Context, claims []byte) (attest.Evidence, error)
	// DataKey is the key of this machine's sealed columns; it opens only in the
	// same measured state.
	DataKey(ctx context.Context) ([]byte, error)
}

// Bound is a device whose reports name the attestation key of a TPM beside it: its
// evidence is composite, the report of Attest and then the TPM's quote.
type Bound interface {
	// Identity returns the attestation key, marked as bound; AKName is for the claims.
	Identity(ctx context.Context) (attest.TPMIdentity, error)
	AKName(ctx context.Context) ([]byte, error)
	// Quote makes the TPM's quote over the claims.
	Quote(ctx context.Context, claims []byte) (attest.Evidence, error)
}

// Activator is a device whose attestation key must be shown to live beside an
// endorsement key: a TPM 2.0. The attestation key's name goes into the claims.
type Activator interface {
	// Identity returns which TPM this is, Activate recovers a verifier's secret.
	Identity(ctx context.Context) (attest.TPMIdentity, error)
	Activate(ctx context.Context, a attest.Activation) ([]byte, error)
	AKName(ctx context.Context) ([]byte, error)
}

// Alias is where a host name leads that no endpoint has.
type Alias struct {
	Pod PodID
	// Manifest is what the pod must run for the alias to lead to it; zero is
	// whatever it runs.
	Manifest manifest.Digest
	// Name is what the alias is called in answers, such as "revision 3".
	Name string
}
