package httpapi

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"
	"maps"
	"net/http"
	"slices"

	"apocryph/proto/status"
	"apocryph/provider/artifacts"
)

// intact is a body, or a part of a form, that is held against the digests of its
// own header (RFC 9530). Without any, nothing is hashed.
type intact struct {
	io.Reader
	want map[string][]byte
	sums map[string]hash.Hash
}

func intactBody(h http.Header, in io.Reader) (*intact, error) {
	want, err := digests(h)
	if err != nil {
		return nil, err
	}
	b := &intact{Reader: in, want: want, sums: map[string]hash.Hash{}}
	for alg := range want {
		b.sums[alg] = sha256.New()
		if alg == artifacts.SHA512 {
			b.sums[alg] = sha512.New()
		}
		b.Reader = io.TeeReader(b.Reader, b.sums[alg])
	}
	return b, nil
}

// check reads what is left, since the digest is of that as well, and compares.
func (b *intact) check() error {
	if len(b.want) == 0 {
		return nil
	}
	if _, err := io.Copy(io.Discard, b); err != nil {
		return err
	}
	var faults []status.Fault
	for _, alg := range slices.Sorted(maps.Keys(b.want)) {
		if got := b.sums[alg].Sum(nil); !bytes.Equal(got, b.want[alg]) {
			faults = append(faults, status.Fault{Field: "digest " + alg, Got: hex.EncodeToString(got), Want: hex.EncodeToString(b.want[alg])})
		}
	}
	if len(faults) > 0 {
		return status.Invalid("artifact.digest", "the content", faults).WithHint("the content changed on its way: send it again")
	}
	return nil
}

// intact holds a body that is in memory against the digests of its header.
func (c *call) intact(body []byte) error {
	b, err := intactBody(c.r.Header, bytes.NewReader(body))
	if err != nil {
		return err
	}
	return b.check()
}
