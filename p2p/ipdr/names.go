package ipdr

import (
	"encoding/json"
	"strings"
)

// The caps on a stranger's image.
const (
	// maxManifest bounds a manifest, as registries do; it is held in memory.
	maxManifest = 4 << 20
	// maxConfig bounds an image configuration, which is held in memory.
	maxConfig = 8 << 20
	// maxIndex bounds index.json.
	maxIndex = 1 << 20
	// maxLayers bounds the layers of an image: overlay file systems stack no
	// more, and each costs a fetch.
	maxLayers = 128
	// maxLayer bounds one layer in bytes.
	maxLayer = 1 << 40
)

const (
	layoutFile    = `{"imageLayoutVersion":"1.0.0"}`
	ociIndex      = "application/vnd.oci.image.index.v1+json"
	ociManifest   = "application/vnd.oci.image.manifest.v1+json"
	dockerV2      = "application/vnd.docker.distribution.manifest.v2+json"
	refAnnotation = "org.opencontainers.image.ref.name"
)

// Descriptor is an OCI content descriptor.
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// imageManifest is the part of an image manifest that is read here.
type imageManifest struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Config        Descriptor      `json:"config"`
	Layers        []Descriptor    `json:"layers"`
	Manifests     json.RawMessage `json:"manifests"`
}

// index is index.json.
type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Manifests     []Descriptor `json:"manifests"`
}

// hexOf returns the 64 lowercase hex digits of a "sha256:" digest.
func hexOf(digest string) (string, bool) {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", false
	}
	return hex, true
}

// validTag is the distribution specification's form of a tag.
func validTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for _, r := range tag {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
		default:
			return false
		}
	}
	return true
}
