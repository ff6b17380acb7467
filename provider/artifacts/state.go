package artifacts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

const (
	stateName  = "state.age"
	tempSuffix = ".tmp"

	stateMagic = "apocryph artifact state 1\n"
	// maxSegments bounds the parts of one artifact, so that a stranger who
	// appends byte by byte cannot make one hundred thousand files.
	maxSegments = 10_000
	// maxHashState bounds the saved state of SHA-256, 108 bytes in Go 1.26.
	maxHashState = 1 << 10
	tagSize      = 16
	idSize       = 16
	segmentSize  = 8 + 8 + tagSize
	// maxState is the largest encoded state in bytes.
	maxState = len(stateMagic) + idSize + 8 + 8 + 1 + 2 + maxHashState + 4 + maxSegments*segmentSize
)

// segment is a run of an artifact's bytes in a file of its own.
type segment struct {
	offset, size int64
	// tag is random and the first thing inside the file: it tells this file
	// from any other that was ever at the same offset.
	tag [tagSize]byte
}

func (g segment) end() int64 { return g.offset + g.size }

func (g segment) name() string { return fmt.Sprintf("%016x-%x.age", g.offset, g.tag) }

// state is how far the content of one artifact has come. Segments that it does
// not list do not exist.
type state struct {
	id [idSize]byte
	// length is the declared length in bytes, -1 while it is deferred.
	length int64
	// touched is when the client was last heard of.
	touched time.Time
	// complete says that hash is the SHA-256 of the content; before, it is the
	// hash's own state, from which it goes on (encoding.BinaryMarshaler).
	complete bool
	hash     []byte
	// segments follow each other without a gap, from 0.
	segments []segment
}

func (s *state) offset() int64 {
	if len(s.segments) == 0 {
		return 0
	}
	return s.segments[len(s.segments)-1].end()
}

// encode writes numbers as big-endian, in the order of the fields.
func (s *state) encode() []byte {
	b := make([]byte, 0, len(stateMagic)+idSize+8+8+1+2+len(s.hash)+4+len(s.segments)*segmentSize)
	b = append(b, stateMagic...)
	b = append(b, s.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.length))
	b = binary.BigEndian.AppendUint64(b, uint64(s.touched.Unix()))
	var complete byte
	if s.complete {
		complete = 1
	}
	b = append(b, complete)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.hash)))
	b = append(b, s.hash...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.segments)))
	for _, g := range s.segments {
		b = binary.BigEndian.AppendUint64(b, uint64(g.offset))
		b = binary.BigEndian.AppendUint64(b, uint64(g.size))
		b = append(b, g.tag[:]...)
	}
	return b
}

var errState = errors.New("not a state of an artifact")

// decodeState is strict: what it accepts, encode writes again.
func decodeState(b []byte) (*state, error) {
	if len(b) > maxState || !bytes.HasPrefix(b, []byte(stateMagic)) {
		return nil, errState
	}
	r := fields{rest: b[len(stateMagic):]}
	s := &state{}
	copy(s.id[:], r.take(idSize))
	s.length = r.int64()
	s.touched = time.Unix(r.int64(), 0).UTC()
	complete := r.take(1)
	hash := r.take(int(binary.BigEndian.Uint16(r.take(2))))
	count := binary.BigEndian.Uint32(r.take(4))
	if r.short || s.length < -1 || complete[0] > 1 || len(hash) > maxHashState || count > maxSegments ||
		len(r.rest) != int(count)*segmentSize {
		return nil, errState
	}
	s.complete, s.hash = complete[0] == 1, bytes.Clone(hash)
	for range count {
		g := segment{offset: r.int64(), size: r.int64()}
		copy(g.tag[:], r.take(tagSize))
		if g.offset != s.offset() || g.size <= 0 || g.end() < g.offset {
			return nil, errState
		}
		s.segments = append(s.segments, g)
	}
	if s.length >= 0 && s.offset() > s.length || s.complete && (s.offset() != s.length || len(s.hash) != 32) {
		return nil, errState
	}
	return s, nil
}

// fields cuts fields off a buffer; once short, it gives zeros.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if f.short || n > len(f.rest) {
		f.short = true
		return make([]byte, n)
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) int64() int64 { return int64(binary.BigEndian.Uint64(f.take(8))) }
