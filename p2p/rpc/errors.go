package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"apocryph/proto/status"
	"apocryph/proto/statuspb"
)

// retryAfter is when a caller who was refused for lack of room should be back.
const retryAfter = 2 * time.Second

// errorField is the field of a response that carries a refusal.
func errorField(m proto.Message) protoreflect.FieldDescriptor {
	desc := m.ProtoReflect().Descriptor()
	f := desc.Fields().ByName("error")
	if f == nil || f.Message() == nil || f.Message().FullName() != (&statuspb.Status{}).ProtoReflect().Descriptor().FullName() {
		panic(fmt.Sprintf("rpc: %s has no field error of type Status", desc.FullName()))
	}
	return f
}

// errorFrame is a response that holds err, as far as a stranger may know it.
func errorFrame(res proto.Message, err error, limit int) proto.Message {
	wire := status.ToWire(status.Public(err))
	m := res.ProtoReflect().New()
	m.Set(errorField(res), protoreflect.ValueOfMessage(wire.ProtoReflect()))
	if proto.Size(m.Interface()) > limit {
		wire.Faults = nil // the summary is in the detail
	}
	return m.Interface()
}

// errorOf is the refusal in a response, or nil.
func errorOf(res proto.Message) error {
	m := res.ProtoReflect()
	f := errorField(res)
	if !m.Has(f) {
		return nil
	}
	wire, ok := m.Get(f).Message().Interface().(*statuspb.Status)
	if !ok {
		return status.New(status.Unavailable, "peer.error", "the peer sent an error that cannot be read")
	}
	return status.FromPeer(status.FromWire(wire))
}

// isTimeout reports whether a deadline passed. The muxers have a type each for that.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// asStatus turns what went wrong on a stream to a peer into a status.
func asStatus(ctx context.Context, err error, id peer.ID, p Protocol) error {
	var reset *network.StreamError
	var bad *badFrame
	var unsupported multistream.ErrNotSupported[protocol.ID]
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), ctx.Err() == nil && isTimeout(err):
		return status.Wrap(err, status.DeadlineExceeded, "peer.timeout", "peer %s did not answer in time", id).
			WithHint("it may be overloaded or gone; try again, or another provider")
	case ctx.Err() != nil:
		return fmt.Errorf("calling %s on %s: %w", p.ID, id, ctx.Err())
	case errors.As(err, &unsupported):
		return notSpoken(err, id, p)
	case errors.As(err, &bad):
		return status.Wrap(err, status.Unavailable, "peer.frame", "peer %s sent what cannot be read: %s", id, bad.why).
			WithHint("the two sides may be of different versions")
	case errors.As(err, &reset) && reset.Remote:
		return resetStatus(reset, id, p)
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return status.Wrap(err, status.ResourceExhausted, "p2p.limit", "this node's own limit of streams or connections is reached").
			WithRetryAfter(retryAfter)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, network.ErrReset):
		return status.Wrap(err, status.Unavailable, "peer.lost", "the connection to peer %s broke", id).
			WithHint("try again; what it had accepted goes on without the connection")
	}
	return status.Wrap(err, status.Unavailable, "peer.unreachable", "peer %s cannot be reached", id).
		WithHint("check that it runs and that its address is right")
}

func notSpoken(err error, id peer.ID, p Protocol) error {
	return status.Wrap(err, status.Unimplemented, "peer.protocol_missing", "peer %s does not speak %s", id, p.ID).
		WithHint("it is no provider, or of another version")
}

func resetStatus(err *network.StreamError, id peer.ID, p Protocol) error {
	switch err.ErrorCode {
	case network.StreamProtocolNegotiationFailed:
		return notSpoken(err, id, p)
	case network.StreamResourceLimitExceeded, network.StreamRateLimited:
		return status.Wrap(err, status.ResourceExhausted, "peer.busy", "peer %s takes no more calls of %s now", id, p.ID).
			WithRetryAfter(retryAfter)
	case network.StreamProtocolViolation:
		return status.Wrap(err, status.Unavailable, "peer.frame_refused", "peer %s could not read the call of %s", id, p.ID).
			WithHint("the two sides may be of different versions")
	case network.StreamShutdown:
		return status.Wrap(err, status.Unavailable, "peer.shutdown", "peer %s is shutting down", id).
			WithRetryAfter(retryAfter)
	}
	return status.Wrap(err, status.Unavailable, "peer.lost", "peer %s ended the call", id).
		WithHint("try again; what it had accepted goes on without the connection")
}
