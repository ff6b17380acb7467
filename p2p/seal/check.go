package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// check refuses what cannot be sealed, all faults at once.
func check(img *oci.Image) error {
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	if n := len(img.Config); n == 0 || n > oci.MaxConfig {
		fault("config", fmt.Sprintf("%d bytes", n), fmt.Sprintf("1 to %d", oci.MaxConfig))
	}
	if img.ConfigMediaType != oci.MediaTypeConfig {
		fault("config media type", fmt.Sprintf("%.128q", img.ConfigMediaType), oci.MediaTypeConfig)
	}
	if n := len(img.Layers); n > oci.MaxLayers {
		fault("layers", fmt.Sprint(n), fmt.Sprintf("at most %d", oci.MaxLayers))
	}
	encrypted := false
	for i, l := range img.Layers {
		field := fmt.Sprintf("layers[%d]", i)
		switch l.MediaType {
		case oci.MediaTypeLayer, oci.MediaTypeLayerGzip, oci.MediaTypeLayerZstd:
		default:
			encrypted = encrypted || strings.HasSuffix(l.MediaType, oci.EncryptedSuffix)
			fault(field+".mediaType", fmt.Sprintf("%.128q", l.MediaType), "a plain tar layer, or one with gzip or zstd")
		}
		if !digestPattern.MatchString(l.Digest) {
			fault(field+".digest", fmt.Sprintf("%.128q", l.Digest), "sha256 and 64 hex digits")
		}
		if l.Size < 0 || l.Size > oci.MaxLayerSize {
			fault(field+".size", fmt.Sprint(l.Size), fmt.Sprintf("0 to %d", int64(oci.MaxLayerSize)))
		}
		if len(faults) > maxFaults {
			break
		}
	}
	if len(faults) == 0 {
		return nil
	}
	err := status.Invalid("seal.image", "image "+img.Source, faults)
	if encrypted {
		return err.WithHint("the image is encrypted already; give the plain image")
	}
	return err
}

// maxFaults bounds the faults that are listed: a stranger's image may have as many as layers.
const maxFaults = 16

// encryptionPrefix begins the names of ocicrypt's annotations.
const encryptionPrefix = "org.opencontainers.image.enc."

// withoutEncryption drops what an earlier encryption left behind.
func withoutEncryption(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	maps.DeleteFunc(kept, func(k, _ string) bool { return strings.HasPrefix(k, encryptionPrefix) })
	if len(kept) == 0 {
		return nil
	}
	return kept
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
