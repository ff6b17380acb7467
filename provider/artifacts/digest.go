package artifacts

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"

	"apocryph/proto/status"
)

// The digest algorithms that are checked, by their names in the IANA registry
// of RFC 9530, section 7.2.
const (
	SHA256 = "sha-256"
	SHA512 = "sha-512"
)

// Expectation is what a client says the digests of its content are.
type Expectation struct {
	want map[string][]byte
	sums map[string]hash.Hash
}

// Expect takes digests by the names [SHA256] and [SHA512]. It refuses algorithms that are
// not checked, as invalid_argument "artifact.digest": a digest that nobody looked at would
// seem to have matched.
func Expect(want map[string][]byte) (*Expectation, error) {
	e := &Expectation{want: want, sums: map[string]hash.Hash{}}
	var faults []status.Fault
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch name {
		case SHA256:
			e.sums[name] = sha256.New()
		case SHA512:
			e.sums[name] = sha512.New()
		default:
			faults = append(faults, status.Fault{Field: "digest", Got: quoted(name), Want: SHA256 + " or " + SHA512})
			continue
		}
		if got, size := len(want[name]), e.sums[name].Size(); got != size {
			faults = append(faults, status.Fault{Field: "digest " + name, Got: fmt.Sprintf("%d bytes", got), Want: fmt.Sprintf("%d bytes", size)})
		}
	}
	if len(faults) > 0 {
		return nil, status.Invalid("artifact.digest", "the expected digest", faults)
	}
	return e, nil
}

// Hashes are what all of the content has to be written to.
func (e *Expectation) Hashes() []hash.Hash { return slices.Collect(maps.Values(e.sums)) }

// sha256 is the hash of the whole content, where the content is all that comes: it is
// not hashed twice for a client that said its digest.
func (e *Expectation) sha256() hash.Hash {
	if e.sums[SHA256] == nil {
		e.sums[SHA256] = sha256.New()
	}
	return e.sums[SHA256]
}

// Check compares the digests after the content was hashed. Others are invalid_argument
// "artifact.digest".
func (e *Expectation) Check() error {
	var faults []status.Fault
	for _, name := range slices.Sorted(maps.Keys(e.want)) {
		got := e.sums[name].Sum(nil)
		if subtle.ConstantTimeCompare(got, e.want[name]) != 1 {
			faults = append(faults, status.Fault{Field: "digest " + name, Got: hex.EncodeToString(got), Want: hex.EncodeToString(e.want[name])})
		}
	}
	if len(faults) > 0 {
		return status.Invalid("artifact.digest", "the content", faults).WithHint("the content changed on its way: send it again")
	}
	return nil
}
