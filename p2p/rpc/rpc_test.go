package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-varint"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	stream = rpc.ServerStream[*podpb.PodResponse]
	serve  = func(ctx context.Context, s *stream, req *podpb.PodRequest) error
)

func newReq() *podpb.PodRequest  { return new(podpb.PodRequest) }
func newRes() *podpb.PodResponse { return new(podpb.PodResponse) }

// testProtocol is short of everything, so that each limit can be met.
func testProtocol() rpc.Protocol {
	p := rpc.Pod
	p.MaxRequest, p.MaxResponse = 64<<10, 64<<10
	p.Timeout, p.IdleTimeout = 20*time.Second, 300*time.Millisecond
	p.PerPeer, p.Total = 2, 3
	return p
}

func line(text string) *podpb.PodResponse {
	return &podpb.PodResponse{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Line: &podpb.LogLine{Text: []byte(text)}}}}
}

func get(name string) *podpb.PodRequest {
	return &podpb.PodRequest{Call: &podpb.PodRequest_Status{Status: &podpb.GetPod{Name: name}}}
}

// pair starts a client and a server that answers with fn.
func pair(t *testing.T, p rpc.Protocol, fn serve) (client, server *p2p.Node) {
	t.Helper()
	nodes := p2ptest.Nodes(t, 2)
	t.Cleanup(rpc.Handle(nodes[1].Host(), p, nil, newReq, fn))
	return nodes[0], nodes[1]
}

func call(t *testing.T, client, server *p2p.Node, p rpc.Protocol, req *podpb.PodRequest) *rpc.ClientStream[*podpb.PodResponse] {
	t.Helper()
	c, err := rpc.Call(t.Context(), client.Host(), server.ID(), p, req, newRes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wantStatus(t *testing.T, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v (%s %q), want %s %q", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

func TestStreamOfResponses(t *testing.T) {
	p := testProtocol()
	p.Aliases = append(p.Aliases, "/x/apocryph/pod/0.0.1")
	var caller string
	client, server := pair(t, p, func(_ context.Context, s *stream, req *podpb.PodRequest) error {
		caller = s.Peer().String()
		for _, text := range []string{"a", "b", req.GetStatus().GetName()} {
			if err := s.Send(line(text)); err != nil {
				return err
			}
		}
		return nil
	})
	alias := p
	alias.ID = p.Aliases[0]
	for _, p := range []rpc.Protocol{p, alias} {
		c := call(t, client, server, p, get("web"))
		var got []string
		for {
			res, err := c.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(res.GetEvent().GetLine().GetText()))
		}
		if diff := cmp.Diff([]string{"a", "b", "web"}, got); diff != "" {
			t.Error(diff)
		}
		if _, err := c.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	}
	if caller != client.ID().String() {
		t.Errorf("caller %s, want %s", caller, client.ID())
	}
}

func TestDialog(t *testing.T) {
	p := testProtocol()
	p.Dialog = true
	client, server := pair(t, p, func(_ context.Context, s *stream, _ *podpb.PodRequest) error {
		if err := s.Send(line("who?")); err != nil {
			return err
		}
		answer := newReq()
		if err := s.Recv(answer); err != nil {
			return err
		}
		return s.Send(line(answer.GetStatus().GetName()))
	})
	c := call(t, client, server, p, get("first"))
	if _, err := c.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(get("second")); err != nil {
		t.Fatal(err)
	}
	res, err := c.Recv()
	if err != nil || string(res.GetEvent().GetLine().GetText()) != "second" {
		t.Fatalf("got %v, %v", res, err)
	}

	t.Run("caller says nothing", func(t *testing.T) {
		c := call(t, client, server, p, get("first"))
		if _, err := c.Recv(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Recv()
		wantStatus(t, err, status.DeadlineExceeded, "caller.timeout")
	})
}

func TestErrors(t *testing.T) {
	refusal := status.Wrap(errors.New("disk /dev/secret"), status.Conflict, "pod.exists", "pod %q exists", "web").WithHint("update it")
	for _, tt := range []struct {
		name   string
		serve  serve
		code   status.Code
		reason string
	}{
		{"refused", func(context.Context, *stream, *podpb.PodRequest) error { return refusal }, status.Conflict, "pod.exists"},
		{"after a response", func(_ context.Context, s *stream, _ *podpb.PodRequest) error {
			return errors.Join(s.Send(line("x")), refusal)
		}, status.Conflict, "pod.exists"},
		{"unclassified", func(context.Context, *stream, *podpb.PodRequest) error { return errors.New("disk /dev/secret") }, status.Unavailable, "internal"},
		{"panic", func(context.Context, *stream, *podpb.PodRequest) error { panic("disk /dev/secret") }, status.Unavailable, "internal"},
		{"response too large", func(_ context.Context, s *stream, _ *podpb.PodRequest) error {
			return s.Send(line(strings.Repeat("x", 64<<10)))
		}, status.Unavailable, "internal"},
		{"many faults", func(context.Context, *stream, *podpb.PodRequest) error {
			faults := make([]status.Fault, 64)
			for i := range faults {
				faults[i] = status.Fault{Field: strings.Repeat("f", 500), Got: strings.Repeat("g", 500), Want: strings.Repeat("w", 500)}
			}
			return status.Invalid("manifest", "the manifest", faults)
		}, status.InvalidArgument, "manifest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := testProtocol()
			client, server := pair(t, p, tt.serve)
			c := call(t, client, server, p, get("web"))
			var err error
			for err == nil {
				_, err = c.Recv()
			}
			wantStatus(t, err, tt.code, tt.reason)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the peer was told %q", err)
			}
		})
	}
}

func TestPanicIsLogged(t *testing.T) {
	nodes := p2ptest.Nodes(t, 2)
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, nil))
	stop := rpc.Handle(nodes[1].Host(), testProtocol(), log, newReq, func(context.Context, *stream, *podpb.PodRequest) error { panic("oops") })
	if _, err := rpc.Do(t.Context(), nodes[0].Host(), nodes[1].ID(), testProtocol(), get("web"), newRes); err == nil {
		t.Error("no error")
	}
	stop()
	if !strings.Contains(buf.String(), "oops") || !strings.Contains(buf.String(), "TestPanicIsLogged") {
		t.Errorf("log %q", buf.String())
	}
}

func TestRequestTooLarge(t *testing.T) {
	p := testProtocol()
	client, server := pair(t, p, func(context.Context, *stream, *podpb.PodRequest) error { return nil })
	_, err := rpc.Call(t.Context(), client.Host(), server.ID(), p, get(strings.Repeat("x", 64<<10)), newRes)
	wantStatus(t, err, status.InvalidArgument, "request.size")
}

func TestUnknownProtocol(t *testing.T) {
	nodes := p2ptest.Nodes(t, 2)
	_, err := rpc.Do(t.Context(), nodes[0].Host(), nodes[1].ID(), testProtocol(), get("web"), newRes)
	wantStatus(t, err, status.Unimplemented, "peer.protocol_missing")
}

func TestUnknownPeer(t *testing.T) {
	nodes := p2ptest.Nodes(t, 1)
	ghost := p2ptest.Nodes(t, 1)[0].ID()
	_, err := rpc.Do(t.Context(), nodes[0].Host(), ghost, testProtocol(), get("web"), newRes)
	wantStatus(t, err, status.Unavailable, "peer.unreachable")
}

func TestNoAnswer(t *testing.T) {
	p := testProtocol()
	client, server := pair(t, p, func(context.Context, *stream, *podpb.PodRequest) error { return nil })
	_, err := rpc.Do(t.Context(), client.Host(), server.ID(), p, get("web"), newRes)
	wantStatus(t, err, status.Unavailable, "peer.no_answer")
}

// TestLimits fills a peer's calls, then all calls, and empties them again.
func TestLimits(t *testing.T) {
	p := testProtocol()
	nodes := p2ptest.Nodes(t, 4)
	release := make(chan struct{})
	stop := rpc.Handle(nodes[0].Host(), p, nil, newReq, func(ctx context.Context, s *stream, _ *podpb.PodRequest) error {
		if err := s.Send(line("in")); err != nil {
			return err
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	})
	defer stop()
	open := func(n int) error {
		_, err := call(t, nodes[n], nodes[0], p, get("web")).Recv()
		return err
	}
	for _, n := range []int{1, 1, 2} {
		if err := open(n); err != nil {
			t.Fatalf("within the limits: %v", err)
		}
	}
	wantStatus(t, open(1), status.ResourceExhausted, "calls.peer")
	err := open(3)
	wantStatus(t, err, status.ResourceExhausted, "calls.total")
	var st *status.Error
	if !errors.As(err, &st) || st.RetryAfter <= 0 || st.Hint == "" {
		t.Errorf("refusal %+v", st)
	}
	// A refusal is told even to one who sends a large request first.
	c, err := rpc.Call(t.Context(), nodes[3].Host(), nodes[0].ID(), p, get(strings.Repeat("x", 60<<10)), newRes)
	if err == nil {
		_, err = c.Recv()
	}
	wantStatus(t, err, status.ResourceExhausted, "calls.total")
	close(release)
	for err := open(3); err != nil; err = open(3) {
		if status.CodeOf(err) != status.ResourceExhausted {
			t.Fatal(err)
		}
	}
}

func TestCallEndsWithContext(t *testing.T) {
	p := testProtocol()
	p.Timeout = 0
	ended := make(chan error, 1)
	client, server := pair(t, p, func(ctx context.Context, s *stream, _ *podpb.PodRequest) error {
		if err := s.Send(line("in")); err != nil {
			return err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	c, err := rpc.Call(ctx, client.Host(), server.ID(), p, get("web"), newRes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := c.Recv(); status.CodeOf(err) != status.Canceled {
		t.Errorf("got %v, want canceled", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("handler's context: %v", err)
	}
}

// TestCallerVanishes: a caller who has closed its half, and whose connection
// then breaks, ends the handler too.
func TestCallerVanishes(t *testing.T) {
	p := testProtocol()
	p.Timeout = 0
	in, ended := make(chan struct{}), make(chan struct{})
	client, server := pair(t, p, func(ctx context.Context, _ *stream, _ *podpb.PodRequest) error {
		close(in)
		<-ctx.Done()
		close(ended)
		return nil
	})
	s := raw(t, client, server, p, frame(t, get("web")))
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	<-in
	if err := client.Host().Network().ClosePeer(server.ID()); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestTimeout(t *testing.T) {
	short, long := testProtocol(), testProtocol()
	short.Timeout = 200 * time.Millisecond
	wait := func(ctx context.Context, _ *stream, _ *podpb.PodRequest) error {
		<-ctx.Done()
		return ctx.Err()
	}
	t.Run("of the caller", func(t *testing.T) {
		client, server := pair(t, long, wait)
		_, err := rpc.Do(t.Context(), client.Host(), server.ID(), short, get("web"), newRes)
		wantStatus(t, err, status.DeadlineExceeded, "peer.timeout")
	})
	t.Run("of the server", func(t *testing.T) {
		client, server := pair(t, short, wait)
		_, err := rpc.Do(t.Context(), client.Host(), server.ID(), long, get("web"), newRes)
		wantStatus(t, err, status.DeadlineExceeded, "deadline")
	})
}

func TestStop(t *testing.T) {
	p := testProtocol()
	nodes := p2ptest.Nodes(t, 2)
	in := make(chan struct{})
	stop := rpc.Handle(nodes[1].Host(), p, nil, newReq, func(ctx context.Context, _ *stream, _ *podpb.PodRequest) error {
		close(in)
		<-ctx.Done()
		return ctx.Err()
	})
	c := call(t, nodes[0], nodes[1], p, get("web"))
	<-in
	stop()
	stop()
	_, err := c.Recv()
	wantStatus(t, err, status.Unavailable, "shutdown")
	_, err = rpc.Do(t.Context(), nodes[0].Host(), nodes[1].ID(), p, get("web"), newRes)
	wantStatus(t, err, status.Unimplemented, "peer.protocol_missing")
}

func TestProtocolTable(t *testing.T) {
	for _, p := range []rpc.Protocol{rpc.Attest, rpc.Capacity, rpc.Provision, rpc.Pod} {
		if p.MaxRequest <= 0 || p.MaxResponse <= 0 || p.IdleTimeout <= 0 || p.PerPeer <= 0 || p.Total < p.PerPeer {
			t.Errorf("%s lacks a limit: %+v", p.ID, p)
		}
		for _, l := range p2p.Protocols() {
			if l.ID == p.ID && l.Memory < int64(p.MaxRequest) {
				t.Errorf("%s: a request of %d bytes does not fit into %d", p.ID, p.MaxRequest, l.Memory)
			}
		}
	}
}

func frame(t *testing.T, msg proto.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return append(varint.ToUvarint(uint64(len(body))), body...)
}

// raw opens a stream by hand and writes to it.
func raw(t *testing.T, client, server *p2p.Node, p rpc.Protocol, b []byte) network.Stream {
	t.Helper()
	s, err := client.Host().NewStream(t.Context(), server.ID(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	if _, err := s.Write(b); err != nil {
		t.Fatal(err)
	}
	return s
}
