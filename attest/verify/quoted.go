package verify

import (
	"encoding/binary"
	"fmt"
	"math/big"
)

// The numbers of TPM 2.0 that a quote may have (Part 2, 6.2, 6.3 and 6.9).
const (
	tpmGenerated = 0xff544347
	tpmQuote     = 0x8018
	tpmECDSA     = 0x0018
	tpmSHA256    = 0x000b
)

// quoted is a TPMS_ATTEST of type quote (Part 2, 10.12.12), without what is not
// looked at. It shares memory with its source.
type quoted struct {
	extraData        []byte
	resets, restarts uint32
	selections       []pcrSelection
	pcrHash          []byte
}

// pcrSelection is a TPMS_PCR_SELECTION (Part 2, 10.6.2).
type pcrSelection struct {
	hash uint16
	bits []byte
}

// tpmCursor cuts the big-endian structures of a TPM.
type tpmCursor struct{ cursor }

func (c *tpmCursor) number(size int) uint64 {
	b := c.cut(size)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(append(make([]byte, 8-size, 8), b...))
}

// buffer cuts a TPM2B, which has its size in front.
func (c *tpmCursor) buffer() []byte { return c.cut(int(c.number(2))) }

// maxBanks bounds the selections of a quote: a TPM has four banks or so.
const maxBanks = 16

// parseQuoted checks the magic number, which says that a TPM made the structure,
// the type and that no byte is left over. A key that signs what was hashed
// outside of the TPM could sign anything else; those of the template are
// restricted and do not sign what begins with the magic number.
//
// It is written by hand because the library's way, by reflection there and back
// again to see that nothing was passed over, takes twice as long as the
// signature. A test holds the two against each other.
func parseQuoted(raw []byte) (*quoted, error) {
	c := &tpmCursor{cursor{rest: raw}}
	magic, kind := c.number(4), c.number(2)
	if c.short || magic != tpmGenerated || kind != tpmQuote {
		return nil, fmt.Errorf("magic number 0x%08x, type 0x%04x", magic, kind)
	}
	q := new(quoted)
	c.buffer() // the signer's qualified name: which key it is, the signature shows
	q.extraData = c.buffer()
	c.cut(8) // TPMS_CLOCK_INFO: the clock
	q.resets, q.restarts = uint32(c.number(4)), uint32(c.number(4))
	if safe := c.number(1); safe > 1 {
		return nil, errNotOfThisForm
	}
	c.cut(8) // the firmware's version
	n := c.number(4)
	if n > maxBanks {
		return nil, fmt.Errorf("%d selections", n)
	}
	for range n {
		s := pcrSelection{hash: uint16(c.number(2))}
		s.bits = c.cut(int(c.number(1)))
		q.selections = append(q.selections, s)
	}
	q.pcrHash = c.buffer()
	return q, c.done("the quote")
}

// parseECDSA reads a TPMT_SIGNATURE (Part 2, 11.3.4) by ECDSA with SHA-256.
func parseECDSA(raw []byte) (r, s *big.Int, err error) {
	c := &tpmCursor{cursor{rest: raw}}
	scheme, hash := c.number(2), c.number(2)
	if scheme != tpmECDSA || hash != tpmSHA256 {
		return nil, nil, fmt.Errorf("scheme 0x%04x, hash 0x%04x, want ECDSA with SHA-256", scheme, hash)
	}
	r, s = new(big.Int).SetBytes(c.buffer()), new(big.Int).SetBytes(c.buffer())
	return r, s, c.done("the signature")
}
