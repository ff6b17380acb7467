package podlog

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"apocryph/proto/status"
)

const (
	// SaltSize is the length of a salt in bytes: as much as the hash, so that
	// guessing payloads is no easier than guessing salts.
	SaltSize = 32
	// CommitmentSize is the length of a commitment in bytes.
	CommitmentSize = sha256.Size
	// MaxRecords bounds a log: a verifier hashes each record and keeps each
	// sequence, so an endless log would hold it forever. A provider that starts a
	// pod each minute fills this in five months of one boot.
	MaxRecords = 1 << 20

	digestTag = "apocryph/podlog/0.0.1\x00"
)

// Salt hides one payload. Each event has its own.
type Salt [SaltSize]byte

// NewSalt reads a salt from random, which is crypto/rand's reader everywhere but
// in tests.
func NewSalt(random io.Reader) (Salt, error) {
	var s Salt
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return Salt{}, fmt.Errorf("reading randomness: %w", err)
	}
	return s, nil
}

// String hides the salt from formatted output: with it, payloads can be guessed.
func (Salt) String() string { return "podlog.Salt(hidden)" }

// GoString hides the salt from %#v.
func (s Salt) GoString() string { return s.String() }

// Record is what everybody sees of an event.
type Record struct {
	// Seq counts events from 0.
	Seq  uint64
	Type Type
	// Commitment is SHA-256(salt || payload).
	Commitment [CommitmentSize]byte
}

// Opening is what the owner of an event gets beside its record.
type Opening struct {
	Salt    Salt
	Payload []byte
}

// String keeps the event out of formatted output.
func (o Opening) String() string { return fmt.Sprintf("podlog.Opening(%d bytes)", len(o.Payload)) }

// GoString keeps the event out of %#v.
func (o Opening) GoString() string { return o.String() }

// Seal makes the record of an event and its opening. The salt must be fresh
// random. An event that could not be opened again is invalid_argument
// "podlog.event" with all of its faults; a salt of zeros, which is one that
// nobody has drawn, is internal "podlog.salt".
func Seal(seq uint64, e Event, salt Salt) (Record, Opening, error) {
	if e == nil {
		return Record{}, Opening{}, status.New(status.InvalidArgument, reasonEvent, "no event to log")
	}
	if seq >= MaxRecords {
		return Record{}, Opening{}, full()
	}
	if salt == (Salt{}) {
		return Record{}, Opening{}, status.New(status.Internal, reasonSalt, "an event was to be logged without a salt")
	}
	payload, err := encodePayload(e)
	if err != nil {
		return Record{}, Opening{}, err
	}
	o := Opening{Salt: salt, Payload: payload}
	return Record{Seq: seq, Type: e.Type(), Commitment: o.commitment()}, o, nil
}

// Open returns the event of a record. Untrusted "podlog.opening" is an opening
// of something else; invalid_argument "podlog.payload" is one that was measured
// and is no event of this version. Whether the record itself was measured is for
// [CheckReplay] to say.
func Open(r Record, o Opening) (Event, error) {
	if len(o.Payload) > MaxPayload {
		return nil, tooLarge("payload", len(o.Payload), MaxPayload)
	}
	if got := o.commitment(); got != r.Commitment {
		return nil, untrusted(reasonOpening, fmt.Sprintf("the opening is not that of record %d", r.Seq), []status.Fault{{
			Field: "commitment", Got: hex.EncodeToString(got[:]), Want: hex.EncodeToString(r.Commitment[:]),
		}})
	}
	return decodePayload(r.Type, o.Payload)
}

func (o Opening) commitment() [CommitmentSize]byte {
	h := sha256.New()
	h.Write(o.Salt[:])
	h.Write(o.Payload)
	return [CommitmentSize]byte(h.Sum(nil))
}

// appendTo appends the record's encoding, which is also what is hashed.
func (r Record) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Type)))
	b = append(b, r.Type...)
	return append(b, r.Commitment[:]...)
}

// preimage is appended to a buffer of the caller's, which saves an allocation
// for each of a million records.
func (r Record) preimage(b []byte) []byte { return r.appendTo(append(b, digestTag...)) }

// SHA256 is what the record extends a register of the SHA-256 bank with.
func (r Record) SHA256() [sha256.Size]byte {
	var buf [128]byte
	return sha256.Sum256(r.preimage(buf[:0]))
}

// SHA384 is what the record extends a register of the SHA-384 bank, or an RTMR, with.
func (r Record) SHA384() [sha512.Size384]byte {
	var buf [128]byte
	return sha512.Sum384(r.preimage(buf[:0]))
}

func full() error {
	return status.New(status.ResourceExhausted, reasonFull, "the pod log has %d events, which is all that it may have", MaxRecords).
		WithHint("a new log begins when the machine boots")
}
