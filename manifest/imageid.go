package manifest

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// ByID names an image by its configuration alone, for a dry run, which fetches
// nothing: the CID is that of the configuration's bytes. Nobody can run it, for
// what it names is no image's directory.
func ByID(imageID string) (Image, error) {
	if !digestPattern.MatchString(imageID) {
		return Image{}, fmt.Errorf("image id: got %.80q, want sha256: and 64 hex digits", imageID)
	}
	b, err := hex.DecodeString(strings.TrimPrefix(imageID, "sha256:"))
	if err != nil {
		return Image{}, err
	}
	hash, err := multihash.Encode(b, multihash.SHA2_256)
	if err != nil {
		return Image{}, err
	}
	return Image{CID: cid.NewCidV1(cid.Raw, hash).String(), EncryptedDigest: imageID, ImageID: imageID}, nil
}
