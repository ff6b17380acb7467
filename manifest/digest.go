package manifest

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// ParseDigest reads "sha256:" and 64 lowercase hex digits, as [Digest.String]
// writes them, and refuses anything else.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	text, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(text)
	if !ok || err != nil || len(b) != len(d) || text != strings.ToLower(text) {
		return Digest{}, fmt.Errorf("digest: got %.80q, want sha256: and 64 lowercase hex digits", s)
	}
	return Digest(b), nil
}
