package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/status"
)

// lastWordsWait is how long a refusal is waited for where the request could not
// be sent to its end.
const lastWordsWait = time.Second

// ClientStream is the asking side of one call. It is used by one goroutine.
type ClientStream[Res proto.Message] struct {
	end      func()
	classify func(error) error // with what is known of the call's context
	s        network.Stream
	r        *bufio.Reader
	p        Protocol
	newRes   func() Res
	over     error
}

// Call opens a stream to a peer and sends the request. newRes makes an empty
// response. The stream must be closed, unless Recv has returned an error
// (io.EOF is one). When ctx ends, or Timeout is over, the call is reset.
func Call[Req, Res proto.Message](ctx context.Context, h host.Host, id peer.ID, p Protocol, req Req, newRes func() Res) (*ClientStream[Res], error) {
	frame, err := appendFrame(nil, p.MaxRequest, req)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "request.size", "the request has %d bytes, at most %d are allowed", proto.Size(req), p.MaxRequest).
			WithHint("make the manifest, the secrets or the policy smaller")
	}
	ctx, cancel := limited(ctx, p.Timeout)
	s, err := h.NewStream(ctx, id, p.ID)
	if err != nil {
		defer cancel()
		return nil, asStatus(ctx, err, id, p)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	c := &ClientStream[Res]{
		s: s, r: bufio.NewReader(s), p: p, newRes: newRes,
		end:      func() { stop(); cancel() },
		classify: func(err error) error { return asStatus(ctx, err, id, p) },
	}
	if err := c.write(frame); err != nil {
		return nil, err
	}
	return c, nil
}

func limited(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return context.WithCancel(ctx)
}

// Do makes a call that has one response, and returns it.
func Do[Req, Res proto.Message](ctx context.Context, h host.Host, id peer.ID, p Protocol, req Req, newRes func() Res) (Res, error) {
	var none Res
	c, err := Call(ctx, h, id, p, req, newRes)
	if err != nil {
		return none, err
	}
	defer c.Close()
	res, err := c.Recv()
	if errors.Is(err, io.EOF) {
		err = status.New(status.Unavailable, "peer.no_answer", "peer %s closed the call without an answer", id)
	}
	return res, err
}

// Send sends a further frame of a dialog.
func (c *ClientStream[Res]) Send(msg proto.Message) error {
	if c.over != nil {
		return c.over
	}
	frame, err := appendFrame(nil, c.p.MaxRequest, msg)
	if err != nil {
		return status.Wrap(err, status.InvalidArgument, "request.size", "the frame has %d bytes, at most %d are allowed", proto.Size(msg), c.p.MaxRequest)
	}
	return c.write(frame)
}

func (c *ClientStream[Res]) write(frame []byte) error {
	err := c.s.SetWriteDeadline(time.Now().Add(c.p.idle()))
	if err == nil {
		_, err = c.s.Write(frame)
	}
	if err == nil {
		return nil
	}
	return c.fail(c.lastWords(c.classify(err)))
}

// lastWords is why a peer stopped reading, if it said so, or else err.
func (c *ClientStream[Res]) lastWords(err error) error {
	res := c.newRes()
	if c.s.SetReadDeadline(time.Now().Add(lastWordsWait)) != nil || readFrame(c.r, c.p.MaxResponse, res) != nil {
		return err
	}
	if said := errorOf(res); said != nil {
		return said
	}
	return err
}

// Recv returns the next response. A refusal is returned as the status that the
// peer sent, re-classed by status.FromPeer. io.EOF means that the peer has
// nothing more to say. After an error the stream is closed.
func (c *ClientStream[Res]) Recv() (Res, error) {
	var none Res
	if c.over != nil {
		return none, c.over
	}
	res := c.newRes()
	if err := c.read(res); err != nil {
		// Where the connection was closed, some streams end as if the peer had
		// finished.
		if errors.Is(err, io.EOF) && !c.s.Conn().IsClosed() {
			return none, c.fail(io.EOF)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return none, c.fail(c.classify(err))
	}
	if err := errorOf(res); err != nil {
		return none, c.fail(err)
	}
	return res, nil
}

// read waits for a frame to begin as long as the call may last, and then for
// its end no longer than the idle timeout.
func (c *ClientStream[Res]) read(res Res) error {
	if err := c.s.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if _, err := c.r.Peek(1); err != nil {
		return err
	}
	if err := c.s.SetReadDeadline(time.Now().Add(c.p.idle())); err != nil {
		return err
	}
	return readFrame(c.r, c.p.MaxResponse, res)
}

func (c *ClientStream[Res]) fail(err error) error {
	c.over = err
	c.Close()
	return err
}

// Close ends the call. Where the peer has not finished, the stream is reset,
// which cancels the handler there. Closing twice is harmless.
func (c *ClientStream[Res]) Close() {
	if c.over == nil {
		c.over = status.New(status.Canceled, "call.closed", "the call has been closed")
	}
	c.end()
	_ = c.s.Reset()
}
