package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
)

// partsSum is the fingerprint of a form: names and contents of its parts. The frame
// around them, which differs with every repeat, is not in it.
type partsSum struct {
	// total is nil where nobody compares: hashing is the largest part of receiving.
	total hash.Hash
}

func newPartsSum(wanted bool) partsSum {
	if !wanted {
		return partsSum{}
	}
	return partsSum{sha256.New()}
}

// part takes in a part while read reads it, and holds it against its digests. Lengths
// keep two parts from being read as another two.
func (s partsSum) part(p *multipart.Part, read func(io.Reader) error) error {
	body, err := intactBody(http.Header(p.Header), framed{p})
	if err != nil {
		return err
	}
	if s.total == nil {
		if err := read(body); err != nil {
			return err
		}
		return body.check()
	}
	sum := sha256.New()
	if err := read(io.TeeReader(body, sum)); err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	fmt.Fprintf(s.total, "%s %s %s\n", strconv.Quote(p.FormName()), strconv.Quote(p.FileName()), hex.EncodeToString(sum.Sum(nil)))
	return nil
}

// sum is zero where nobody compares.
func (s partsSum) sum() (out [sha256.Size]byte) {
	if s.total != nil {
		s.total.Sum(out[:0])
	}
	return out
}
