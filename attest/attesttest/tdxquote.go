package attesttest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
)

// The places of fields in a TD report, as a quote has it.
const (
	TDXAtTCBSVN         = 0
	TDXAtMRSeam         = 16
	TDXAtMRSignerSeam   = 64
	TDXAtSeamAttributes = 112
	TDXAtAttributes     = 120
	TDXAtXFAM           = 128
	TDXAtMRTD           = 136
	TDXAtMRConfigID     = 184
	TDXAtRTMRs          = 328
	TDXAtReportData     = 520
	TDXAtTCBSVN2        = 584
	TDXAtMRServiceTD    = 600
)

// The places of fields in a quoting enclave's report.
const (
	QEAtMiscSelect = 16
	QEAtAttributes = 48
	QEAtMRSigner   = 128
	QEAtISVProdID  = 256
	QEAtISVSVN     = 258
	QEAtReportData = 320
)

// The sizes of TD reports.
const (
	TDXBody10 = 584
	TDXBody15 = 648
)

// TDXQuote is a quote before it is signed.
type TDXQuote struct {
	// Version is 4, or 5 which has either of the two bodies.
	Version int
	// Body is [TDXBody10] or [TDXBody15] bytes, QEReport 384.
	Body, QEReport []byte
	// Auth is what else the quoting enclave's report covers.
	Auth []byte
	// Chain is PEM text.
	Chain []byte
	// PCKKey and AttestationKey sign.
	PCKKey, AttestationKey *ecdsa.PrivateKey
	// Foreign: the quoting enclave's report does not name the attestation key.
	Foreign bool
}

// Quote signs a quote of version 4 for report data; change may be nil. The
// register i is filled with the byte 0xA0 + i, MRTD with 0x77.
func (m *TDX) Quote(t testing.TB, reportData [64]byte, change func(*TDXQuote)) []byte {
	t.Helper()
	q := &TDXQuote{
		Version: 4, Body: make([]byte, TDXBody10), QEReport: make([]byte, 384), Auth: bytes.Repeat([]byte{0x20}, 32),
		Chain: append(TDXChain(m.PCK, m.CA, m.Root), 0), PCKKey: m.PCKKey, AttestationKey: m.AttestationKey,
	}
	copy(q.Body[TDXAtTCBSVN:], []byte{3, 0, 4})
	copy(q.Body[TDXAtMRSeam:], bytes.Repeat([]byte{0x55}, 48))
	q.Body[TDXAtAttributes+3] = 0x10
	copy(q.Body[TDXAtXFAM:], []byte{0xe7, 0x1a, 0x06})
	copy(q.Body[TDXAtMRTD:], bytes.Repeat([]byte{0x77}, 48))
	for i := range 4 {
		copy(q.Body[TDXAtRTMRs+48*i:], bytes.Repeat([]byte{0xA0 + byte(i)}, 48))
	}
	copy(q.Body[TDXAtReportData:], reportData[:])
	copy(q.QEReport[QEAtAttributes:], []byte{0x15, 0, 0, 0, 0, 0, 0, 0, 0xe7})
	copy(q.QEReport[QEAtMRSigner:], intelQESigner)
	binary.LittleEndian.PutUint16(q.QEReport[QEAtISVProdID:], 2)
	binary.LittleEndian.PutUint16(q.QEReport[QEAtISVSVN:], 4)
	if change != nil {
		change(q)
	}
	return q.sign(t)
}

// V5 makes it version 5 with the body of TDX 1.5, by a module of line 1.
func (q *TDXQuote) V5() {
	q.Version = 5
	q.Body = append(slices.Clip(q.Body), make([]byte, TDXBody15-TDXBody10)...)
	copy(q.Body[TDXAtTCBSVN:], []byte{6, 1, 4})
	copy(q.Body[TDXAtTCBSVN2:], []byte{6, 1, 4})
	copy(q.Body[TDXAtMRServiceTD:], bytes.Repeat([]byte{0xbb}, 48))
}

func (q *TDXQuote) sign(t testing.TB) []byte {
	t.Helper()
	le := binary.LittleEndian
	out := le.AppendUint16(nil, uint16(q.Version))
	out = le.AppendUint16(out, 2)
	out = le.AppendUint32(out, 0x81)
	out = append(out, make([]byte, 4)...)
	out = append(out, 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07)
	out = append(out, make([]byte, 20)...)
	if q.Version == 5 {
		kind := uint16(2)
		if len(q.Body) == TDXBody15 {
			kind = 3
		}
		out = le.AppendUint16(out, kind)
		out = le.AppendUint32(out, uint32(len(q.Body)))
	}
	out = append(out, q.Body...)
	point, err := q.AttestationKey.PublicKey.Bytes()
	must(t, err)
	if named := sha256.Sum256(slices.Concat(point[1:], q.Auth)); !q.Foreign {
		copy(q.QEReport[QEAtReportData:], named[:])
	}
	outer := slices.Concat(q.QEReport, TDXSign(t, q.PCKKey, q.QEReport))
	outer = append(le.AppendUint16(outer, uint16(len(q.Auth))), q.Auth...)
	outer = le.AppendUint16(outer, 5)
	outer = append(le.AppendUint32(outer, uint32(len(q.Chain))), q.Chain...)
	signature := slices.Concat(TDXSign(t, q.AttestationKey, out), point[1:])
	signature = le.AppendUint16(signature, 6)
	signature = append(le.AppendUint32(signature, uint32(len(outer))), outer...)
	return append(le.AppendUint32(out, uint32(len(signature))), signature...)
}
