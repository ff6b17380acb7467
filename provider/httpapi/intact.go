package httpapi

import (
	"bytes"
	"io"
	"net/http"

	"apocryph/provider/artifacts"
)

// intact is a body, or a part of a form, that is held against the digests of its
// own header (RFC 9530). Without any, nothing is hashed.
type intact struct {
	io.Reader
	said *artifacts.Expectation
}

func intactBody(h http.Header, in io.Reader) (*intact, error) {
	want, err := digests(h)
	if err != nil || len(want) == 0 {
		return &intact{Reader: in}, err
	}
	said, err := artifacts.Expect(want)
	if err != nil {
		return nil, err
	}
	b := &intact{in, said}
	for _, sum := range said.Hashes() {
		b.Reader = io.TeeReader(b.Reader, sum)
	}
	return b, nil
}

// check reads what is left, since the digest is of that as well, and compares.
func (b *intact) check() error {
	if b.said == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, b); err != nil {
		return err
	}
	return b.said.Check()
}

// intact holds a body that is in memory against the digests of its header.
func (c *call) intact(body []byte) error {
	b, err := intactBody(c.r.Header, bytes.NewReader(body))
	if err != nil {
		return err
	}
	return b.check()
}
