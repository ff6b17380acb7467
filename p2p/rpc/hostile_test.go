package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

// TestHostileCallers: whatever a caller sends, the handler does not run, the
// stream ends, and the place is free again for others.
func TestHostileCallers(t *testing.T) {
	p := testProtocol()
	// One place may still be held by the call before.
	p.PerPeer, p.Total = 2, 2
	served := make(chan string, 64)
	client, server := pair(t, p, func(_ context.Context, s *stream, req *podpb.PodRequest) error {
		served <- req.GetStatus().GetName()
		return s.Send(line("ok"))
	})
	whole := frame(t, get("half"))
	for _, tt := range []struct {
		name  string
		bytes []byte
		// told is set where the caller learns why.
		told bool
	}{
		{"sends nothing", nil, true},
		{"half a length", []byte{0x80}, true},
		{"half a frame", whole[:len(whole)-1], true},
		{"oversize frame", []byte{0x81, 0x80, 0x04}, false},
		{"huge frame", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, false},
		{"endless length", bytes.Repeat([]byte{0xff}, 20), false},
		{"length not minimal", []byte{0x80, 0x00}, false},
		{"not protobuf", []byte{0x02, 0xff, 0xff}, false},
		{"not utf-8", []byte{0x05, 0x12, 0x03, 0x0a, 0x01, 0xff}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := raw(t, client, server, p, tt.bytes)
			if err := s.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(s)
			var reset *network.StreamError
			switch {
			case tt.told && (err != nil || len(answer) == 0):
				t.Errorf("got %x, %v, want an answer", answer, err)
			case !tt.told && (!errors.As(err, &reset) || reset.ErrorCode != network.StreamProtocolViolation):
				t.Errorf("got %x, %v, want a reset for a protocol violation", answer, err)
			}
			// The place may take a moment to be free.
			for {
				_, err := rpc.Do(t.Context(), client.Host(), server.ID(), p, get("after"), newRes)
				if err == nil {
					break
				}
				if status.CodeOf(err) != status.ResourceExhausted {
					t.Fatal(err)
				}
			}
			if name := <-served; name != "after" {
				t.Errorf("handler saw %q", name)
			}
		})
	}
}

// TestChattyCaller: bytes after the request of a call that is no dialog end it.
func TestChattyCaller(t *testing.T) {
	p := testProtocol()
	ended := make(chan error, 1)
	client, server := pair(t, p, func(ctx context.Context, _ *stream, _ *podpb.PodRequest) error {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil
	})
	s := raw(t, client, server, p, append(frame(t, get("web")), 0))
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("handler's context: %v", err)
	}
	if _, err := io.ReadAll(s); !errors.Is(err, network.ErrReset) {
		t.Errorf("got %v, want a reset", err)
	}
}

// TestCallerStopsReading: a handler that has much to say is not held up for longer
// than the idle timeout.
func TestCallerStopsReading(t *testing.T) {
	p := testProtocol()
	failed := make(chan error, 1)
	client, server := pair(t, p, func(ctx context.Context, s *stream, _ *podpb.PodRequest) error {
		text := string(bytes.Repeat([]byte("x"), 60<<10))
		for {
			if err := s.Send(line(text)); err != nil {
				failed <- errors.Join(err, ctx.Err())
				return err
			}
		}
	})
	raw(t, client, server, p, frame(t, get("web")))
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context cancelled as well", err)
	}
}

// TestHostileServers: a caller gets one clear error, in time.
func TestHostileServers(t *testing.T) {
	hang := func(s network.Stream) { _, _ = io.Copy(io.Discard, s) }
	write := func(b []byte, then func(network.Stream)) network.StreamHandler {
		return func(s network.Stream) {
			_, _ = s.Write(b)
			then(s)
		}
	}
	reset := func(code network.StreamErrorCode) network.StreamHandler {
		return func(s network.Stream) { _ = s.ResetWithError(code) }
	}
	half := frame(t, line("hello"))[:5]
	shut := func(s network.Stream) { _ = s.CloseWrite() }
	for _, tt := range []struct {
		name    string
		handler network.StreamHandler
		code    status.Code
		reason  string
	}{
		{"sends nothing", hang, status.DeadlineExceeded, "peer.timeout"},
		{"stops inside a frame", write(half, hang), status.DeadlineExceeded, "peer.timeout"},
		{"closes inside a frame", write(half, shut), status.Unavailable, "peer.lost"},
		{"closes at once", shut, status.Unavailable, "peer.no_answer"},
		{"oversize frame", write([]byte{0xff, 0xff, 0xff, 0x7f}, hang), status.Unavailable, "peer.frame"},
		{"garbage", write([]byte{0x02, 0xff, 0xff}, hang), status.Unavailable, "peer.frame"},
		{"error without a class", write([]byte{0x02, 0x1a, 0x00}, hang), status.Unavailable, ""},
		{"resets", reset(0), status.Unavailable, "peer.lost"},
		{"busy", reset(network.StreamResourceLimitExceeded), status.ResourceExhausted, "peer.busy"},
		{"cannot read", reset(network.StreamProtocolViolation), status.Unavailable, "peer.frame_refused"},
		{"goes down", reset(network.StreamShutdown), status.Unavailable, "peer.shutdown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := testProtocol()
			p.Timeout = time.Second
			nodes := p2ptest.Nodes(t, 2)
			nodes[1].Host().SetStreamHandler(p.ID, tt.handler)
			_, err := rpc.Do(t.Context(), nodes[0].Host(), nodes[1].ID(), p, get("web"), newRes)
			wantStatus(t, err, tt.code, tt.reason)
		})
	}
}

// TestServerNeverReads: a large request is not waited for without end.
func TestServerNeverReads(t *testing.T) {
	p := testProtocol()
	p.MaxRequest, p.Timeout = 64<<20, 0
	nodes := p2ptest.Nodes(t, 2)
	done := make(chan struct{})
	nodes[1].Host().SetStreamHandler(p.ID, func(s network.Stream) {
		<-done
		_ = s.Reset()
	})
	defer close(done)
	_, err := rpc.Call(t.Context(), nodes[0].Host(), nodes[1].ID(), p, get(string(bytes.Repeat([]byte("x"), 48<<20))), newRes)
	wantStatus(t, err, status.DeadlineExceeded, "peer.timeout")
}

// TestServerVanishes: the connection breaks in the middle of a call.
func TestServerVanishes(t *testing.T) {
	p := testProtocol()
	client, server := pair(t, p, func(ctx context.Context, s *stream, _ *podpb.PodRequest) error {
		defer func() { <-ctx.Done() }()
		return s.Send(line("in"))
	})
	c := call(t, client, server, p, get("web"))
	if _, err := c.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := server.Host().Network().ClosePeer(client.ID()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Recv()
	wantStatus(t, err, status.Unavailable, "peer.lost")
}

// TestPerPeerStreams: what comes on top of a peer's calls and refusals is
// reset by the resource manager.
func TestPerPeerStreams(t *testing.T) {
	p := rpc.Pod
	p.PerPeer = 1
	limit := 0
	for _, l := range p2p.Protocols() {
		if l.ID == p.ID {
			limit = 2 * l.PerPeer
		}
	}
	nodes := p2ptest.Nodes(t, 2)
	nodes[1].Host().SetStreamHandler(p.ID, func(s network.Stream) {
		_, _ = s.Write([]byte{1})
		_, _ = io.Copy(io.Discard, s)
		_ = s.Reset()
	})
	for i := range limit + 1 {
		s := raw(t, nodes[0], nodes[1], p, []byte{0})
		n, err := s.Read(make([]byte, 1))
		var reset *network.StreamError
		if i < limit && n != 1 {
			t.Fatalf("stream %d: %v", i, err)
		}
		if i == limit && (!errors.As(err, &reset) || reset.ErrorCode != network.StreamResourceLimitExceeded) {
			t.Errorf("stream %d: %d, %v, want it reset", i, n, err)
		}
	}
}
