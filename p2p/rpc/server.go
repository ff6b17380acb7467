package rpc

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/status"
)

var (
	errTimeout  = errors.New("the time for the call is over")
	errShutdown = errors.New("this node is shutting down")
	errGone     = errors.New("the caller is gone")
)

// errorGrace is how long the last frame may take where the call's own time is over.
const errorGrace = 5 * time.Second

// refuseGrace is how long a refused caller's request is read and thrown away.
const refuseGrace = 2 * time.Second

// Handle answers the calls of p that come to h until stop is called; stop
// cancels those in progress, answers them unavailable, and returns when their
// handlers have. newReq makes an empty request. serve is called for each call,
// concurrently; its context ends when the caller goes, when the time is over or
// on stop. What it returns as an error is the last frame. It panics where Res
// has no field "error" of type Status.
func Handle[Req, Res proto.Message](h host.Host, p Protocol, log *slog.Logger, newReq func() Req, serve func(ctx context.Context, s *ServerStream[Res], req Req) error) (stop func()) {
	var res Res
	errorField(res)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	srv := &server[Req, Res]{
		p: p, log: log.With("protocol", string(p.ID)), newReq: newReq, serve: serve,
		perPeer: make(map[peer.ID]int), calls: make(map[network.Stream]context.CancelCauseFunc),
	}
	ids := append([]protocol.ID{p.ID}, p.Aliases...)
	watch := &network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) {
		srv.cancelCalls(errGone, func(s network.Stream) bool { return s.Conn() == c })
	}}
	h.Network().Notify(watch)
	for _, id := range ids {
		h.SetStreamHandler(id, srv.handle)
	}
	return sync.OnceFunc(func() {
		for _, id := range ids {
			h.RemoveStreamHandler(id)
		}
		srv.mu.Lock()
		srv.closed = true
		srv.mu.Unlock()
		srv.cancelCalls(errShutdown, func(network.Stream) bool { return true })
		srv.wg.Wait()
		h.Network().StopNotify(watch)
	})
}

type server[Req, Res proto.Message] struct {
	p      Protocol
	log    *slog.Logger
	newReq func() Req
	serve  func(context.Context, *ServerStream[Res], Req) error

	wg      sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	streams int // including those that are being refused
	admits  int
	perPeer map[peer.ID]int
	calls   map[network.Stream]context.CancelCauseFunc
}

func (srv *server[Req, Res]) cancelCalls(cause error, which func(network.Stream) bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s, cancel := range srv.calls {
		if which(s) {
			cancel(cause)
		}
	}
}

// enter counts a call in. Refused is set where there is no room for it; ok is
// false where not even a refusal can be afforded.
func (srv *server[Req, Res]) enter(s network.Stream, cancel context.CancelCauseFunc) (ok bool, refused error) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closed || srv.streams >= 2*srv.p.Total {
		return false, nil
	}
	id := s.Conn().RemotePeer()
	switch {
	case srv.perPeer[id] >= srv.p.PerPeer:
		refused = status.New(status.ResourceExhausted, "calls.peer", "%d calls of this peer are in progress, at most %d are served at once",
			srv.perPeer[id], srv.p.PerPeer).WithRetryAfter(retryAfter).WithHint("wait for one of them to end")
	case srv.admits >= srv.p.Total:
		refused = status.New(status.ResourceExhausted, "calls.total", "this node serves %d calls of this kind at once and all are taken",
			srv.p.Total).WithRetryAfter(retryAfter).WithHint("try again later, or another provider")
	default:
		srv.perPeer[id]++
		srv.admits++
		srv.calls[s] = cancel
	}
	srv.streams++
	srv.wg.Add(1)
	return true, refused
}

func (srv *server[Req, Res]) leave(s network.Stream, admitted bool) {
	srv.mu.Lock()
	srv.streams--
	if admitted {
		id := s.Conn().RemotePeer()
		srv.admits--
		srv.perPeer[id]--
		if srv.perPeer[id] == 0 {
			delete(srv.perPeer, id)
		}
		delete(srv.calls, s)
	}
	srv.mu.Unlock()
	srv.wg.Done()
}

func (srv *server[Req, Res]) ended() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.closed
}

func (srv *server[Req, Res]) handle(s network.Stream) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ok, refused := srv.enter(s, cancel)
	if !ok {
		code := network.StreamErrorCode(network.StreamResourceLimitExceeded)
		if srv.ended() {
			code = network.StreamShutdown
		}
		_ = s.ResetWithError(code)
		return
	}
	defer srv.leave(s, refused == nil)
	log := srv.log.With("peer", s.Conn().RemotePeer().String())
	stream := &ServerStream[Res]{s: s, r: bufio.NewReader(s), p: srv.p, cancel: cancel, ended: ctx.Err}
	if refused == nil {
		refused = srv.reserve(s)
	}
	if refused != nil {
		log.Debug("call refused", "error", refused)
		stream.refuse(refused)
		return
	}
	if srv.p.Timeout > 0 {
		var stop context.CancelFunc
		stream.deadline = time.Now().Add(srv.p.Timeout)
		ctx, stop = context.WithDeadlineCause(ctx, stream.deadline, errTimeout)
		defer stop()
	}
	stream.ended = ctx.Err
	defer context.AfterFunc(ctx, stream.hurry)()
	req := srv.newReq()
	if err := stream.receive(req, srv.p.MaxRequest); err != nil {
		log.Debug("request cannot be read", "error", err)
		stream.unreadable(err)
		return
	}
	watched := stream.watch()
	err := srv.run(ctx, stream, req, log)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errGone):
		// A clean end could be taken for a complete answer.
		_ = s.Reset()
		<-watched
		return
	case err == nil:
	case errors.Is(cause, errShutdown):
		err = status.New(status.Unavailable, "shutdown", "this node is shutting down").WithRetryAfter(retryAfter)
	case errors.Is(cause, errTimeout):
		err = status.New(status.DeadlineExceeded, "deadline", "the call took longer than %s", srv.p.Timeout)
	}
	if err != nil {
		log.Debug("call failed", "error", err)
	}
	stream.finish(err)
	<-watched
}

// reserve charges the call to this protocol's resource scope.
func (srv *server[Req, Res]) reserve(s network.Stream) error {
	err := s.Scope().SetService("apocryph" + string(srv.p.ID))
	if err == nil {
		err = s.Scope().ReserveMemory(srv.p.MaxRequest, network.ReservationPriorityMedium)
	}
	if err != nil {
		return status.Wrap(err, status.ResourceExhausted, "calls.memory", "this node has no room for another call now").
			WithRetryAfter(retryAfter).WithHint("try again later, or another provider")
	}
	return nil
}

// run keeps a handler's panic from ending the process.
func (srv *server[Req, Res]) run(ctx context.Context, s *ServerStream[Res], req Req, log *slog.Logger) (err error) {
	defer func() {
		if r := recover(); r != nil {
			log.Error("handler panicked", "panic", r, "stack", string(debug.Stack()))
			err = status.New(status.Internal, "panic", "handler panicked")
		}
	}()
	return srv.serve(ctx, s, req)
}
