package podlog

import (
	"encoding/binary"
	"fmt"

	"apocryph/proto/status"
)

const (
	// recordSize is that of a record without its type.
	recordSize = 8 + 4 + CommitmentSize
	// maxType is the longest name of a type, "exec-attempt", minType the
	// shortest, "ready".
	maxType = len(TypeExecAttempt)
	minType = len(TypeReady)
	// MaxRecord bounds a record's encoding, in bytes: it is allocated before
	// anything of it is known to be true.
	MaxRecord = recordSize + maxType
	// MaxPage bounds the records of one list, which together fit into a frame of
	// 1 MiB: a peer decides how many it sends, and they are in memory at once.
	// Longer logs come in several lists, see [Replay].
	MaxPage = 1 << 14
	// MaxList bounds the encoding of a list, in bytes.
	MaxList = 4 + MaxPage*MaxRecord
	// MaxOpening bounds the encoding of an opening, in bytes.
	MaxOpening = SaltSize + 4 + MaxPayload
)

func (r Record) ok() bool { return r.Seq < MaxRecords && r.Type.Known() }

// check refuses a record that cannot be encoded, or not decoded again.
func (r Record) check(what string) error {
	var f faults
	if r.Seq >= MaxRecords {
		f.add("seq", fmt.Sprint(r.Seq), fmt.Sprintf("below %d", uint64(MaxRecords)))
	}
	if !r.Type.Known() {
		f.add("type", fmt.Sprintf("%.32q", string(r.Type)), "a type of this version")
	}
	if len(f) > 0 {
		return status.Invalid(reasonRecord, what, f)
	}
	return nil
}

// Encode returns the record's one encoding; invalid_argument "podlog.record" for
// one of an unknown type.
func (r Record) Encode() ([]byte, error) {
	if err := r.check("record"); err != nil {
		return nil, err
	}
	return r.appendTo(nil), nil
}

// DecodeRecord reads exactly one record.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) > MaxRecord {
		return Record{}, tooLarge("record", len(b), MaxRecord)
	}
	r, rest, err := cutRecord("record", b)
	if err == nil && len(rest) > 0 {
		return Record{}, notForm("record", "got %d bytes too many", len(rest))
	}
	return r, err
}

func cutRecord(what string, b []byte) (Record, []byte, error) {
	if len(b) < recordSize+minType {
		return Record{}, nil, notForm(what, "got %d bytes, want at least %d", len(b), recordSize+minType)
	}
	n := binary.BigEndian.Uint32(b[8:])
	if n < uint32(minType) || n > uint32(maxType) || len(b) < recordSize+int(n) {
		return Record{}, nil, notForm(what, "got a type of %d bytes, want %d to %d and all of it", n, minType, maxType)
	}
	end := recordSize + int(n)
	r := Record{
		Seq: binary.BigEndian.Uint64(b), Type: Type(b[12 : 12+n]),
		Commitment: [CommitmentSize]byte(b[12+n : end]),
	}
	if err := r.check(what); err != nil {
		return Record{}, nil, err
	}
	return r, b[end:], nil
}

// EncodeList returns the encoding of at most [MaxPage] records.
func EncodeList(records []Record) ([]byte, error) {
	if len(records) > MaxPage {
		return nil, tooMany(len(records))
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(records)*MaxRecord), uint32(len(records)))
	for i, r := range records {
		if !r.ok() {
			return nil, r.check(fmt.Sprintf("records[%d]", i))
		}
		b = r.appendTo(b)
	}
	return b, nil
}

// DecodeList reads a list. Each record is in form then; their sequence is for
// [Replay] to judge.
func DecodeList(b []byte) ([]Record, error) {
	if len(b) > MaxList {
		return nil, tooLarge("list of records", len(b), MaxList)
	}
	if len(b) < 4 {
		return nil, notForm("list of records", "got %d bytes, want at least 4", len(b))
	}
	n := binary.BigEndian.Uint32(b)
	if n > MaxPage {
		return nil, tooMany(int(n))
	}
	b = b[4:]
	// The count is a stranger's: no more is allocated than the bytes can hold.
	records := make([]Record, 0, min(int(n), len(b)/(recordSize+minType)))
	for i := range int(n) {
		r, rest, err := cutRecord("record", b)
		if err != nil {
			return nil, fmt.Errorf("decoding records[%d]: %w", i, err)
		}
		records, b = append(records, r), rest
	}
	if len(b) > 0 {
		return nil, notForm("list of records", "got %d bytes too many", len(b))
	}
	return records, nil
}

func tooMany(n int) error {
	return status.New(status.InvalidArgument, reasonTooLarge, "list of records: got %d, want at most %d", n, MaxPage)
}

// Encode returns the opening's encoding. It is as secret as the payload.
func (o Opening) Encode() ([]byte, error) {
	if len(o.Payload) > MaxPayload {
		return nil, tooLarge("payload", len(o.Payload), MaxPayload)
	}
	b := append(make([]byte, 0, SaltSize+4+len(o.Payload)), o.Salt[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(o.Payload)))
	return append(b, o.Payload...), nil
}

// DecodeOpening reads exactly one opening; [Open] looks at the payload.
func DecodeOpening(b []byte) (Opening, error) {
	if len(b) > MaxOpening {
		return Opening{}, tooLarge("opening", len(b), MaxOpening)
	}
	if len(b) < SaltSize+4 || binary.BigEndian.Uint32(b[SaltSize:]) != uint32(len(b)-SaltSize-4) {
		return Opening{}, notForm("opening", "got %d bytes that are not a salt and a payload of the length that they say", len(b))
	}
	return Opening{Salt: Salt(b), Payload: append([]byte(nil), b[SaltSize+4:]...)}, nil
}
