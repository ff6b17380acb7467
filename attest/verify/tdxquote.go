package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// The layout of a quote: Intel TDX DCAP Quoting Library API, appendix A.3
// (version 4) and A.4 (version 5). All numbers are little-endian.
const (
	tdxHeaderSize = 48
	tdxTEE        = 0x81
	// tdxECDSA is ECDSA-256 with P-256, the one algorithm that Intel's quoting
	// enclave has.
	tdxECDSA = 2

	// The bodies of version 5: TD report of TDX 1.0, which is also that of
	// version 4, and of TDX 1.5.
	tdxBody10, tdxBody15         = 2, 3
	tdxBody10Size, tdxBody15Size = 584, 648

	// The kinds of certification data: what the quoting enclave says of itself,
	// and a chain in PEM.
	tdxCertQEReport, tdxCertPCKChain = 6, 5

	p256Size     = 64
	qeReportSize = 384
)

// intelQEVendor names Intel's quoting enclave in a quote's header.
var intelQEVendor = []byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// tdxQuote is a quote cut into its parts, which share memory with it.
type tdxQuote struct {
	version int
	body    tdxBody
	// signed is header and body: what the attestation key signed.
	signed, signature []byte
	// attestationKey is a point on P-256 without its prefix.
	attestationKey []byte
	qe             qeReport
	// qeReport is what the PCK signed.
	qeReport, qeSignature, qeAuth []byte
	// chain is PEM text, leaf first.
	chain []byte
}

// tdxBody is a TD report (Intel TDX module 1.5 ABI, TDREPORT_STRUCT).
type tdxBody struct {
	tcbSVN                             [16]byte
	mrSeam, mrSignerSeam               []byte
	seamAttributes                     []byte
	attributes, xfam                   [8]byte
	mrtd                               []byte
	mrConfigID, mrOwner, mrOwnerConfig []byte
	rtmrs                              [4][]byte
	reportData                         []byte
	// tcbSVN2 is of the module that runs now, where that may be another than at
	// launch; nil before TDX 1.5, as mrServiceTD.
	tcbSVN2     *[16]byte
	mrServiceTD []byte
}

// qeReport is an SGX report (Intel SDM volume 3D, 38.15).
type qeReport struct {
	miscSelect           []byte
	attributes, mrSigner []byte
	isvProdID, isvSVN    uint16
	reportData           []byte
}

// cursor cuts a stranger's bytes. After the first cut beyond the end it is
// short, and all further cuts are empty.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) cut(n int) []byte {
	if c.short || n > len(c.rest) {
		c.short = true
		return nil
	}
	out := c.rest[:n:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) u16() uint16 {
	if b := c.cut(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.cut(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// sized cuts what a 32-bit length in front of it says.
func (c *cursor) sized() *cursor {
	n := c.u32()
	if uint64(n) > uint64(len(c.rest)) {
		c.short = true
		return &cursor{short: true}
	}
	return &cursor{rest: c.cut(int(n))}
}

// done refuses what is too short and what goes on behind its end.
func (c *cursor) done(what string) error {
	switch {
	case c.short:
		return fmt.Errorf("%s ends early", what)
	case len(c.rest) > 0:
		return fmt.Errorf("%s is followed by %d bytes", what, len(c.rest))
	}
	return nil
}

// parseTDXQuote demands that every length is exact. Hosts hand out quotes in
// larger buffers; whoever collects them cuts them to size.
func parseTDXQuote(raw []byte) (*tdxQuote, error) {
	c := &cursor{rest: raw}
	header := &cursor{rest: c.cut(tdxHeaderSize)}
	version, key, tee := header.u16(), header.u16(), header.u32()
	// Two fields of zeros or of the enclaves' versions, which the certificate and
	// the enclave's report give authentically.
	header.cut(4)
	vendor := header.cut(16)
	switch {
	case c.short:
		return nil, errors.New("the header ends early")
	case version != 4 && version != 5:
		return nil, fmt.Errorf("version %d", version)
	case key != tdxECDSA || tee != tdxTEE || !bytes.Equal(vendor, intelQEVendor):
		return nil, errors.New("not of a TDX guest by Intel's quoting enclave")
	}
	q := &tdxQuote{version: int(version)}
	kind, size := uint16(tdxBody10), uint32(tdxBody10Size)
	if version == 5 {
		kind, size = c.u16(), c.u32()
	}
	if !(kind == tdxBody10 && size == tdxBody10Size) && !(kind == tdxBody15 && size == tdxBody15Size) {
		return nil, fmt.Errorf("a body of kind %d with %d bytes", kind, size)
	}
	q.body = parseTDXBody(c.cut(int(size)))
	if c.short {
		return nil, errors.New("the body ends early")
	}
	q.signed = raw[:len(raw)-len(c.rest)]
	signature := c.sized()
	if err := errors.Join(c.done("the quote"), q.parseSignature(signature)); err != nil {
		return nil, err
	}
	return q, nil
}

func parseTDXBody(raw []byte) tdxBody {
	c := &cursor{rest: raw}
	var b tdxBody
	copy(b.tcbSVN[:], c.cut(16))
	b.mrSeam, b.mrSignerSeam, b.seamAttributes = c.cut(48), c.cut(48), c.cut(8)
	copy(b.attributes[:], c.cut(8))
	copy(b.xfam[:], c.cut(8))
	b.mrtd, b.mrConfigID, b.mrOwner, b.mrOwnerConfig = c.cut(48), c.cut(48), c.cut(48), c.cut(48)
	for i := range b.rtmrs {
		b.rtmrs[i] = c.cut(48)
	}
	b.reportData = c.cut(64)
	if len(c.rest) > 0 {
		b.tcbSVN2 = new([16]byte)
		copy(b.tcbSVN2[:], c.cut(16))
		b.mrServiceTD = c.cut(48)
	}
	return b
}

func (q *tdxQuote) parseSignature(c *cursor) error {
	q.signature, q.attestationKey = c.cut(p256Size), c.cut(p256Size)
	kind, outer := c.u16(), c.sized()
	if err := c.done("the signature"); err != nil {
		return err
	}
	if kind != tdxCertQEReport {
		return fmt.Errorf("certification data of kind %d", kind)
	}
	q.qeReport, q.qeSignature = outer.cut(qeReportSize), outer.cut(p256Size)
	q.qeAuth = outer.cut(int(outer.u16()))
	kind, inner := outer.u16(), outer.sized()
	if err := outer.done("the certification data"); err != nil {
		return err
	}
	if kind != tdxCertPCKChain {
		return fmt.Errorf("inner certification data of kind %d", kind)
	}
	q.chain = inner.rest
	q.qe = parseQEReport(q.qeReport)
	return nil
}

func parseQEReport(raw []byte) qeReport {
	c := &cursor{rest: raw}
	var r qeReport
	c.cut(16) // CPU SVN: the certificate's is Intel's word
	r.miscSelect = c.cut(4)
	c.cut(28)
	r.attributes = c.cut(16)
	c.cut(32 + 32) // MRENCLAVE changes with every version
	r.mrSigner = c.cut(32)
	c.cut(96)
	r.isvProdID, r.isvSVN = c.u16(), c.u16()
	c.cut(60)
	r.reportData = c.cut(64)
	return r
}

// checkSignatures goes from the platform's certificate to the quote: its key
// signed the quoting enclave's report, that names the attestation key, and this
// signed the quote. Whose enclave it is shows its identity only.
func (q *tdxQuote) checkSignatures(pck *ecdsa.PublicKey) error {
	if !p256Verify(pck, q.qeReport, q.qeSignature) {
		return errors.New("the quoting enclave's report is not signed by the platform")
	}
	h := sha256.New()
	// A hash's Write never returns an error.
	_, _ = h.Write(q.attestationKey)
	_, _ = h.Write(q.qeAuth)
	if !bytes.Equal(q.qe.reportData, h.Sum(make([]byte, 0, 64))[:64:64]) {
		return errors.New("the quoting enclave's report names another key")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, q.attestationKey...))
	if err != nil {
		return err
	}
	if !p256Verify(key, q.signed, q.signature) {
		return errors.New("the quote is not signed by the attestation key")
	}
	return nil
}

// p256Verify checks a signature in the form of two big-endian numbers over the
// SHA-256 of a message.
func p256Verify(key *ecdsa.PublicKey, message, signature []byte) bool {
	if len(signature) != p256Size {
		return false
	}
	digest := sha256.Sum256(message)
	r, s := new(big.Int).SetBytes(signature[:p256Size/2]), new(big.Int).SetBytes(signature[p256Size/2:])
	return ecdsa.Verify(key, digest[:], r, s)
}
