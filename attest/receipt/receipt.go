package receipt

import (
	"time"

	"apocryph/manifest"
)

// Receipt is what a provider says of one running pod.
type Receipt struct {
	// Provider is the text form of the provider's peer id.
	Provider string
	// PodID is the pod's id, Revision counts its deploys from 1.
	PodID    string
	Revision uint64
	// Manifest is the digest of the canonical manifest, with pinned images.
	Manifest manifest.Digest
	// Images are those that run, one for each container.
	Images []Image
	// Endpoints are where the pod is reached.
	Endpoints []Endpoint
	// BootEpoch is that of the claims; a receipt does not outlive it.
	BootEpoch []byte
	// LogPosition is the sequence number of the start of the revision's first replica
	// in the pod log, and LogHead the log's head when this was signed, as claims
	// give it; both are unset where there is no log.
	LogPosition uint64
	LogHead     []byte
	// Provenance are digests of the statements about how the images were built.
	Provenance []manifest.Digest
	// Started is when the revision came up, Issued when this was signed. They have
	// whole milliseconds.
	Started, Issued time.Time
}

// Image is the image of one container.
type Image struct {
	Container string
	// ImageID is the digest of the image's configuration, "sha256:HEX": the same
	// before and after encryption.
	ImageID string
	// CID is where the encrypted image is on IPFS.
	CID string
}

// Endpoint is one way to reach a pod.
type Endpoint struct {
	Container string
	// Protocol is "http", "tcp" or "udp".
	Protocol string
	URL      string
}

// Caps on what is read, against a statement that is made to be expensive.
const (
	// MaxEnvelope is in bytes; an honest one of sixteen containers has about 8 KiB.
	MaxEnvelope = 256 << 10
	// MaxImages, MaxEndpoints and MaxProvenance bound its lists.
	MaxImages     = 64
	MaxEndpoints  = 256
	MaxProvenance = 64
	// maxText bounds every text in bytes: they end in terminals and logs.
	maxText = 2 << 10
)
