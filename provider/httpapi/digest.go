package httpapi

import (
	"encoding/base64"
	"net/http"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider/artifacts"
)

// maxDigests bounds the algorithms that one field names.
const maxDigests = 16

// digests reads Content-Digest and Repr-Digest (RFC 9530): dictionaries of
// structured fields (RFC 9651) with byte sequences. The two mean the same for a
// body without an encoding. An algorithm that is not checked here is passed
// over, as that RFC wants; a field of which none is checked is refused, since its
// sender believes otherwise.
func digests(h http.Header) (map[string][]byte, error) {
	want := map[string][]byte{}
	for _, field := range []string{"Content-Digest", "Repr-Digest"} {
		values := h.Values(field)
		if len(values) == 0 {
			continue
		}
		found, ok := parseDigests(strings.Join(values, ","))
		bad := func(want string) error {
			return status.Invalid("artifact.digest", "the digest", []status.Fault{{Field: field, Got: brief(strings.Join(values, ",")), Want: want}})
		}
		if !ok {
			return nil, bad("sha-256=:BASE64: of 32 bytes, or sha-512 of 64")
		}
		if len(found) == 0 {
			return nil, bad("sha-256 or sha-512")
		}
		for alg, sum := range found {
			if have, twice := want[alg]; twice && string(have) != string(sum) {
				return nil, bad("the digest of the other field")
			}
			want[alg] = sum
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	return want, nil
}

// parseDigests returns the digests that are checked here, false for a text that
// is no dictionary of byte sequences.
func parseDigests(text string) (map[string][]byte, bool) {
	items := strings.Split(text, ",")
	if len(items) > maxDigests {
		return nil, false
	}
	sizes := map[string]int{artifacts.SHA256: 32, artifacts.SHA512: 64}
	out := map[string][]byte{}
	for _, item := range items {
		key, value, ok := strings.Cut(strings.Trim(item, " \t"), "=")
		if !ok || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.*") != "" {
			return nil, false
		}
		if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
			return nil, false
		}
		sum, err := base64.StdEncoding.DecodeString(value[1 : len(value)-1])
		if err != nil {
			return nil, false
		}
		size, known := sizes[key]
		if !known {
			continue
		}
		if _, twice := out[key]; twice || len(sum) != size {
			return nil, false
		}
		out[key] = sum
	}
	return out, true
}

// digestField is a digest as the two fields have it.
func digestField(sum []byte) string {
	return artifacts.SHA256 + "=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}
