package podlog

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"apocryph/proto/status"
)

const (
	journalTag = "apocryph/podlog/0.0.1/journal\x00"
	frameHead  = 4 + 1
	tagSize    = 16

	frameHeader = 'h'
	frameRecord = 'r'
	frameMark   = 'm'

	markSize   = 8
	headerSize = 4 + 32 + 48
	// maxFrame is the longest frame after the header: no more than that can be
	// torn. It is shorter than any record with its mark, so a length that was
	// changed cannot make both look torn.
	maxFrame = frameHead + MaxRecord + tagSize
	// MaxJournal bounds a write-ahead file in bytes: whoever owns the disk could
	// make it larger than memory.
	MaxJournal = frameHead + headerSize + maxEpoch + tagSize + MaxRecords*(maxFrame+frameHead+markSize+tagSize)
)

// Boot is what the machine shows: which boot this is, and the log's register in
// each bank, nil for one that is not active. Where there is no register at all,
// SHA384 is 48 zeros when the log begins, and nothing is reconciled.
type Boot struct {
	// Epoch is 1 to 64 bytes that are new at every boot.
	Epoch          []byte
	SHA256, SHA384 []byte
}

// Journal is the state of a write-ahead file, as a value: each step returns the
// next state and the bytes to append. The file is a sequence of frames:
//
//	frame  = len (of the body) || u8 kind || body || tag (16)
//	header = 'h': len || boot epoch || SHA-256 value (32) || SHA-384 value (48)
//	record = 'r': a record as on the wire
//	mark   = 'm': u64 seq: this record was extended
//	tag    = HMAC-SHA-256(key, "apocryph/podlog/0.0.1/journal" || 0x00 ||
//	         previous tag (16), zeros at first || len || kind || body), cut to 16
//
// The header comes first and once; its values are the register's before the
// first event. Each record is followed by its mark before the next record comes.
//
// The order of one event is: keep its opening, append [Journal.Record] and fsync,
// extend the register, append [Journal.Mark]. The mark needs no fsync of its own:
// what a power failure takes is of a boot that is over. Where there is no
// register to extend, the journal itself is the log and the mark follows at once.
//
// The tags tell damage from a write that a crash cut short. With a key that
// whoever owns the disk does not have, they also keep that owner from putting a
// record of its own in the place of one that is about to be extended; a nil key
// makes them a checksum.
type Journal struct {
	// Epoch is the boot's, Init the register at the beginning.
	Epoch []byte
	Init  Head
	// Extended is the head of the records that have a mark, Head that of all.
	Extended, Head Head

	pending Record
	tag     [tagSize]byte
	key     []byte
}

// NewJournal begins a log in a register. The bytes are the whole new file, which
// is to be written beside, synced and renamed. An epoch or register of a wrong
// length is invalid_argument "podlog.bank".
func NewJournal(boot Boot, key []byte) (Journal, []byte, error) {
	if err := boot.check(); err != nil {
		return Journal{}, nil, err
	}
	init, err := Begin(boot.SHA256, boot.SHA384)
	if err != nil {
		return Journal{}, nil, err
	}
	j := Journal{Epoch: bytes.Clone(boot.Epoch), Init: init, Extended: init, Head: init, key: bytes.Clone(key)}
	body := binary.BigEndian.AppendUint32(nil, uint32(len(boot.Epoch)))
	body = append(append(append(body, boot.Epoch...), init.SHA256[:]...), init.SHA384[:]...)
	j, b := j.frame(frameHeader, body)
	return j, b, nil
}

func (b Boot) check() error {
	var f faults
	if len(b.Epoch) < 1 || len(b.Epoch) > maxEpoch {
		f.add("epoch", fmt.Sprintf("%d bytes", len(b.Epoch)), fmt.Sprintf("1 to %d", maxEpoch))
	}
	if b.SHA256 == nil && b.SHA384 == nil {
		f.add("register", "no bank", "sha256 or sha384")
	}
	if len(f) > 0 {
		return status.Invalid(reasonBank, "boot", f)
	}
	return nil
}

// String keeps the key out of formatted output.
func (j Journal) String() string {
	return fmt.Sprintf("podlog.Journal(%d records, %d extended)", j.Head.Length, j.Extended.Length)
}

// GoString keeps the key out of %#v.
func (j Journal) GoString() string { return j.String() }

// Pending is the record without a mark, if there is one.
func (j Journal) Pending() (Record, bool) { return j.pending, j.Head != j.Extended }

// Record appends the next record, which is to be durable before it is extended.
// While another has no mark it is a conflict, "podlog.pending".
func (j Journal) Record(r Record) (Journal, []byte, error) {
	if p, ok := j.Pending(); ok {
		return j, nil, status.New(status.Conflict, reasonPending, "record %d was to follow record %d, which is not marked as extended", r.Seq, p.Seq)
	}
	h, err := j.Head.Extend(r)
	if err != nil {
		return j, nil, err
	}
	next := j
	next.Head, next.pending = h, r
	next, b := next.frame(frameRecord, r.appendTo(nil))
	return next, b, nil
}

// Mark appends that the pending record was extended; without one it is a
// conflict, "podlog.pending".
func (j Journal) Mark() (Journal, []byte, error) {
	p, ok := j.Pending()
	if !ok {
		return j, nil, status.New(status.Conflict, reasonPending, "no record waits to be marked as extended")
	}
	next := j
	next.Extended, next.pending = j.Head, Record{}
	next, b := next.frame(frameMark, binary.BigEndian.AppendUint64(nil, p.Seq))
	return next, b, nil
}

func (j Journal) frame(kind byte, body []byte) (Journal, []byte) {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind)
	b = append(b, body...)
	j.tag = j.next(b)
	return j, append(b, j.tag[:]...)
}

// next is the tag of a frame, which is given without one.
func (j Journal) next(frame []byte) [tagSize]byte {
	h := hmac.New(sha256.New, j.key)
	h.Write([]byte(journalTag))
	h.Write(j.tag[:])
	h.Write(frame)
	return [tagSize]byte(h.Sum(nil))
}
