package mesh

import (
	"bytes"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-varint"
)

// fault is what a peer does with a stream instead of answering.
type fault struct {
	name string
	do   func(m *mallory, s network.Stream)
}

// faults are those that the caller notices by itself. Limit is the most bytes
// that a frame of the protocol may have.
func faults(limit int) []fault {
	frame := func(size int, body []byte) []byte { return append(varint.ToUvarint(uint64(size)), body...) }
	return []fault{
		{"no answer", bytesOnly(nil)},
		{"half a frame", bytesOnly(frame(100, []byte("only this much")))},
		{"half a length", bytesOnly([]byte{0x80})},
		{"an oversize frame", bytesOnly(frame(limit+1, bytes.Repeat([]byte{1}, 64)))},
		{"noise", bytesOnly(frame(64, bytes.Repeat([]byte{0xff}, 64)))},
		{"a reset", func(_ *mallory, s network.Stream) { _ = s.Reset() }},
		{"a vanished peer", func(m *mallory, s network.Stream) {
			// The call is in progress: its request was read.
			_, _ = s.Read(make([]byte, 1))
			m.vanish()
		}},
	}
}

// bytesOnly sends bytes as they are and ends the stream.
func bytesOnly(b []byte) func(*mallory, network.Stream) {
	return func(_ *mallory, s network.Stream) {
		_, _ = s.Write(b)
		_ = s.CloseWrite()
		_, _ = io.Copy(io.Discard, s)
		_ = s.Close()
	}
}

// breaks replaces the answer to a protocol by a fault.
func (m *mallory) breaks(id protocol.ID, do func(*mallory, network.Stream)) {
	m.node.Host().SetStreamHandler(id, func(s network.Stream) { do(m, s) })
}

// silence reads and says nothing, until the caller gives up. Held is closed
// when the call is in progress.
func silence(held chan<- struct{}) func(*mallory, network.Stream) {
	return func(_ *mallory, s network.Stream) {
		_, _ = s.Read(make([]byte, 1))
		close(held)
		_, _ = io.Copy(io.Discard, s)
		_ = s.Reset()
	}
}

// answerOf waits for the end of a deploy.
func answerOf(t *testing.T, ended <-chan error) error {
	t.Helper()
	done := make(chan struct{})
	var err error
	go func() { defer close(done); err = <-ended }()
	happens(t, "the deploy ends", done)
	return err
}
