package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"apocryph/attest"
)

// newTDXFacts copies what a quote and its certificate say. They become facts
// when everything is verified; [checkTDX] returns them only then.
func newTDXFacts(q *tdxQuote, pck *pckChain) *attest.TDXFacts {
	b := &q.body
	bits := binary.LittleEndian.Uint64(b.attributes[:])
	f := &attest.TDXFacts{
		MRTD:            bytes.Clone(b.mrtd),
		MRSEAM:          bytes.Clone(b.mrSeam),
		MRConfigID:      bytes.Clone(b.mrConfigID),
		MROwner:         bytes.Clone(b.mrOwner),
		MROwnerConfig:   bytes.Clone(b.mrOwnerConfig),
		MRServiceTD:     bytes.Clone(b.mrServiceTD),
		TDAttributes:    b.attributes,
		XFAM:            b.xfam,
		Debug:           bits&tdUntrusted != 0,
		Migratable:      bits&tdMigratable != 0,
		SEPTVEDisable:   bits&tdSEPTVEOff != 0,
		TEETCBSVN:       b.tcbSVN,
		FMSPC:           hex.EncodeToString(pck.sgx.fmspc[:]),
		PlatformID:      pck.platform(),
		RootFingerprint: sha256.Sum256(pck.root.Raw),
		QuoteVersion:    q.version,
	}
	for i, r := range b.rtmrs {
		f.RTMRs[i] = bytes.Clone(r)
	}
	return f
}
