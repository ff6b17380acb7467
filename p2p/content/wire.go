package content

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"apocryph/proto/contentpb"
	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// Protocol is the id of the content stream.
const Protocol protocol.ID = "/apocryph/content/0.0.1"

const (
	// maxRequest bounds a request in bytes: two CIDs and a flag. More would be
	// memory spent before the peer is known to be allowed.
	maxRequest = 256
	// maxResponse bounds the response's header, whose status has texts.
	maxResponse = 64 << 10
	// maxCID bounds the CID of a section in bytes: version, codec, SHA-256.
	maxCID = 40
)

// request is a decoded ContentRequest.
type request struct {
	root, cid  cid.Cid
	skipLeaves bool
}

// readRequest decodes and validates a stranger's request.
func readRequest(r protodelim.Reader) (request, error) {
	var m contentpb.ContentRequest
	if err := (protodelim.UnmarshalOptions{MaxSize: maxRequest}).UnmarshalFrom(r, &m); err != nil {
		return request{}, status.Wrap(err, status.InvalidArgument, "content.request", "the request cannot be read")
	}
	var faults []status.Fault
	parse := func(field string, b []byte) cid.Cid {
		c, err := cid.Cast(b)
		if err == nil {
			err = checkLink(c)
		}
		if err != nil {
			faults = append(faults, status.Fault{Field: field, Got: fmt.Sprintf("%d bytes", len(b)), Want: "a binary sha2-256 CID of raw or dag-pb"})
			return cid.Undef
		}
		return c
	}
	req := request{root: parse("root", m.GetRoot()), cid: parse("cid", m.GetCid()), skipLeaves: m.GetSkipLeaves()}
	if len(faults) > 0 {
		return request{}, status.Invalid("content.request", "content request", faults)
	}
	return req, nil
}

func writeRequest(w io.Writer, r request) error {
	_, err := protodelim.MarshalTo(w, &contentpb.ContentRequest{Root: r.root.Bytes(), Cid: r.cid.Bytes(), SkipLeaves: r.skipLeaves})
	return err
}

func writeResponse(w io.Writer, blocks, bytes uint64, refusal error) error {
	m := &contentpb.ContentResponse{Blocks: blocks, Bytes: bytes}
	if refusal != nil {
		m = &contentpb.ContentResponse{Error: status.ToWire(status.Public(refusal))}
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
	return err
}

// readResponse returns the peer's refusal, re-classed, as an error.
func readResponse(r protodelim.Reader) error {
	var m contentpb.ContentResponse
	if err := (protodelim.UnmarshalOptions{MaxSize: maxResponse}).UnmarshalFrom(r, &m); err != nil {
		return fmt.Errorf("reading content response: %w", err)
	}
	if m.GetError() == nil {
		return nil
	}
	return status.FromPeer(status.FromWire(m.GetError()))
}

// appendSection appends the head of a CAR section to b: everything but its data.
func appendSection(b []byte, c cid.Cid, size int) []byte {
	raw := c.Bytes()
	b = binary.AppendUvarint(b, uint64(len(raw)+size))
	return append(b, raw...)
}

// sections reads CAR sections.
type sections struct{ r *bufio.Reader }

// errTrailing is a peer that sends more than it was asked for.
var errTrailing = errors.New("more blocks than were asked for")

// next reads the head of a section, which must be that of want, and returns the
// size of its data, which the caller reads.
func (s sections) next(want cid.Cid) (int, error) {
	n, err := binary.ReadUvarint(s.r)
	if err != nil {
		return 0, unexpectedEOF(err)
	}
	if n > maxBlock+maxCID {
		return 0, lying("section of %d bytes, at most %d", n, maxBlock+maxCID)
	}
	raw := want.Bytes()
	if n < uint64(len(raw)) {
		return 0, lying("section of %d bytes is too short for its CID", n)
	}
	got := make([]byte, len(raw))
	if _, err := io.ReadFull(s.r, got); err != nil {
		return 0, unexpectedEOF(err)
	}
	if string(got) != string(raw) {
		return 0, lying("another block than %s", want)
	}
	size := int(n) - len(raw)
	if size > maxBlock {
		return 0, lying("block of %d bytes, at most %d", size, maxBlock)
	}
	return size, nil
}

// end checks that nothing follows.
func (s sections) end() error {
	switch _, err := s.r.ReadByte(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return lie{errTrailing}
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
