package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/status"
)

// ServerStream is the answering side of one call.
type ServerStream[Res proto.Message] struct {
	s        network.Stream
	r        *bufio.Reader
	p        Protocol
	deadline time.Time
	cancel   context.CancelCauseFunc
	ended    func() error // the handler's context's Err

	mu     sync.Mutex
	buf    []byte
	broken error
}

// Peer is the authenticated caller.
func (s *ServerStream[Res]) Peer() peer.ID { return s.s.Conn().RemotePeer() }

// Send sends one response. It may be called from several goroutines. It fails
// where the caller is gone or does not read for [Protocol].IdleTimeout; the
// call is lost then and the handler's context ends.
func (s *ServerStream[Res]) Send(res Res) error {
	return s.send(res, s.until(s.p.idle()))
}

// Recv reads the caller's next frame of a dialog, at most MaxRequest bytes,
// into msg. It returns io.EOF where the caller has closed its half.
func (s *ServerStream[Res]) Recv(msg proto.Message) error {
	err := s.receive(msg, s.p.MaxRequest)
	var bad *badFrame
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case errors.As(err, &bad):
		return status.Wrap(err, status.InvalidArgument, "frame", "%s", bad.why)
	case s.ended() != nil:
		return s.ended()
	case isTimeout(err):
		return status.Wrap(err, status.DeadlineExceeded, "caller.timeout", "the caller did not answer within %s", s.p.idle())
	}
	return status.Wrap(err, status.Canceled, "caller.gone", "the caller is gone")
}

func (s *ServerStream[Res]) receive(msg proto.Message, limit int) error {
	if err := s.s.SetReadDeadline(s.until(s.p.idle())); err != nil {
		return err
	}
	// hurry may have come before the deadline was set.
	if err := s.ended(); err != nil {
		return err
	}
	return readFrame(s.r, limit, msg)
}

// hurry ends what blocks when the handler's context has ended.
func (s *ServerStream[Res]) hurry() {
	_ = s.s.SetReadDeadline(time.Unix(1, 0))
	_ = s.s.SetWriteDeadline(time.Now().Add(errorGrace))
}

// until is the end of d from now, or of the call where that is sooner.
func (s *ServerStream[Res]) until(d time.Duration) time.Time {
	if s.ended() != nil {
		d = min(d, errorGrace)
	}
	t := time.Now().Add(d)
	if !s.deadline.IsZero() && s.deadline.Before(t) {
		return s.deadline
	}
	return t
}

func (s *ServerStream[Res]) send(res proto.Message, deadline time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	var err error
	s.buf, err = appendFrame(s.buf[:0], s.p.MaxResponse, res)
	if err != nil {
		return status.Wrap(err, status.Internal, "response.size", "the response is too large to be sent")
	}
	if err = s.s.SetWriteDeadline(deadline); err == nil {
		_, err = s.s.Write(s.buf)
	}
	if err != nil {
		// Half a frame may be out: nothing can follow it.
		s.broken = status.Wrap(err, status.Canceled, "caller.gone", "the caller is gone or does not read")
		s.cancel(errGone)
		_ = s.s.Reset()
		return s.broken
	}
	return nil
}

// watch notices a caller that resets the stream, and one that sends what
// nobody asked for. A caller that closes its half goes on waiting for answers.
// The returned channel is closed when the watch has ended, which finish brings about.
func (s *ServerStream[Res]) watch() <-chan struct{} {
	done := make(chan struct{})
	if s.p.Dialog {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		// The deadline was for the request; the call's own ends the handler's context.
		_ = s.s.SetReadDeadline(time.Time{})
		_, err := s.r.ReadByte()
		if errors.Is(err, io.EOF) {
			return
		}
		s.cancel(errGone)
		if err == nil {
			_ = s.s.ResetWithError(network.StreamProtocolViolation)
		}
	}()
	return done
}

// unreadable ends a call whose request did not come, or is no request.
func (s *ServerStream[Res]) unreadable(err error) {
	var bad *badFrame
	switch {
	case errors.As(err, &bad):
		_ = s.s.ResetWithError(network.StreamProtocolViolation)
	case s.ended() == nil && isTimeout(err):
		s.finish(status.New(status.DeadlineExceeded, "request.slow", "the request did not arrive within %s", s.p.idle()))
	case s.ended() != nil:
		_ = s.s.ResetWithError(network.StreamShutdown)
	default:
		_ = s.s.Reset()
	}
}

// refuse answers a request that is not read. The bytes of it are taken off the
// caller for a moment, so that it comes to reading the answer.
func (s *ServerStream[Res]) refuse(err error) {
	if s.sendError(err) != nil {
		return
	}
	_ = s.s.CloseWrite()
	if s.s.SetReadDeadline(time.Now().Add(refuseGrace)) == nil {
		_, _ = io.CopyN(io.Discard, s.r, int64(s.p.MaxRequest))
	}
	_ = s.s.Reset()
}

// finish sends err, where there is one, and closes the stream.
func (s *ServerStream[Res]) finish(err error) {
	if err != nil && s.sendError(err) != nil {
		return
	}
	if s.s.Close() != nil {
		_ = s.s.Reset()
	}
}

func (s *ServerStream[Res]) sendError(err error) error {
	var res Res
	serr := s.send(errorFrame(res, err, s.p.MaxResponse), time.Now().Add(errorGrace))
	if serr != nil {
		_ = s.s.Reset()
	}
	return serr
}
