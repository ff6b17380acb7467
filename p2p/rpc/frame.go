package rpc

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/multiformats/go-varint"
	"google.golang.org/protobuf/proto"
)

// firstAlloc is what is allocated before any byte of a frame has come, so that
// a length alone costs its sender more than the receiver.
const firstAlloc = 16 << 10

// badFrame is a frame that is not as the specification says: the stream is
// beyond repair.
type badFrame struct{ why string }

func (e *badFrame) Error() string { return e.why }

func badFramef(format string, args ...any) error { return &badFrame{fmt.Sprintf(format, args...)} }

// readFrame reads one frame of at most limit bytes into msg. It returns io.EOF
// where the stream ended before a frame, io.ErrUnexpectedEOF inside one, and a
// *badFrame for what is malformed or too large.
func readFrame(r *bufio.Reader, limit int, msg proto.Message) error {
	size, err := varint.ReadUvarint(r)
	switch {
	case errors.Is(err, varint.ErrOverflow), errors.Is(err, varint.ErrNotMinimal):
		return badFramef("frame length is not a minimal unsigned varint of at most 9 bytes")
	case err != nil:
		return err
	case size > uint64(limit):
		return badFramef("frame of %d bytes, at most %d are allowed", size, limit)
	}
	body, err := readBody(r, int(size))
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if err := proto.Unmarshal(body, msg); err != nil {
		// The library's text may quote what the stranger sent.
		return badFramef("frame is not a valid %s", msg.ProtoReflect().Descriptor().FullName())
	}
	return nil
}

// readBody doubles its buffer as bytes arrive.
func readBody(r io.Reader, size int) ([]byte, error) {
	body := make([]byte, 0, min(size, firstAlloc))
	for len(body) < size {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(size, 2*cap(body)))
			copy(grown, body)
			body = grown
		}
		n, err := io.ReadFull(r, body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}

// errFrameTooLarge is a frame that this side was about to send.
var errFrameTooLarge = errors.New("frame too large")

// appendFrame appends msg as one frame of at most limit bytes.
func appendFrame(b []byte, limit int, msg proto.Message) ([]byte, error) {
	size := proto.Size(msg)
	if size > limit {
		return nil, fmt.Errorf("%w: %s of %d bytes, at most %d are allowed",
			errFrameTooLarge, msg.ProtoReflect().Descriptor().Name(), size, limit)
	}
	b = append(b, varint.ToUvarint(uint64(size))...)
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, msg)
}
