package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio/pbio"

	"apocryph/p2p"
	"apocryph/proto/discoverypb"
	"apocryph/proto/status"
)

const (
	// maxRequest bounds the request in bytes; this version's is empty.
	maxRequest = 1 << 10
	// maxResponse bounds the response: an envelope or a status.
	maxResponse = 2 * maxEnvelope
	// serveTimeout bounds a call, against those who open one and say nothing.
	serveTimeout = 5 * time.Second
)

// Serve answers everyone who asks for this peer's advert until stop is called,
// which waits for calls in progress. current returns the sealed advert, or nil
// where there is none now. How many ask at once is bounded by the node's
// resource manager (p2p.Protocols).
func Serve(h host.Host, current func() []byte, log *slog.Logger) (stop func()) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var mu sync.Mutex
	var calls sync.WaitGroup
	closed := false
	h.SetStreamHandler(p2p.AdvertID, func(s network.Stream) {
		mu.Lock()
		if closed {
			mu.Unlock()
			_ = s.ResetWithError(network.StreamShutdown)
			return
		}
		calls.Add(1)
		mu.Unlock()
		defer calls.Done()
		if err := answer(s, current()); err != nil {
			log.Debug("advert not sent", "peer", s.Conn().RemotePeer().String(), "error", err)
			_ = s.Reset()
		}
	})
	return sync.OnceFunc(func() {
		h.RemoveStreamHandler(p2p.AdvertID)
		mu.Lock()
		closed = true
		mu.Unlock()
		calls.Wait()
	})
}

func answer(s network.Stream, envelope []byte) error {
	if err := s.Scope().SetService("apocryph" + string(p2p.AdvertID)); err != nil {
		return err
	}
	if err := s.Scope().ReserveMemory(maxRequest, network.ReservationPriorityMedium); err != nil {
		return err
	}
	if err := s.SetDeadline(time.Now().Add(serveTimeout)); err != nil {
		return err
	}
	if err := pbio.NewDelimitedReader(s, maxRequest).ReadMsg(new(discoverypb.AdvertRequest)); err != nil {
		return err
	}
	res := &discoverypb.AdvertResponse{Body: &discoverypb.AdvertResponse_Envelope{Envelope: envelope}}
	if len(envelope) == 0 {
		none := status.New(status.Unavailable, "advert.none", "this provider does not advertise now")
		res.Body = &discoverypb.AdvertResponse_Error{Error: status.ToWire(none)}
	}
	if err := pbio.NewDelimitedWriter(s).WriteMsg(res); err != nil {
		return err
	}
	return s.Close()
}

// ask connects to a peer and returns its advert, sealed and opened.
func ask(ctx context.Context, h host.Host, info peer.AddrInfo, now func() time.Time) ([]byte, Advert, error) {
	if err := h.Connect(ctx, info); err != nil {
		return nil, Advert{}, fmt.Errorf("connecting: %w", err)
	}
	s, err := h.NewStream(ctx, info.ID, p2p.AdvertID)
	if err != nil {
		return nil, Advert{}, fmt.Errorf("opening stream: %w", err)
	}
	defer func() { _ = s.Reset() }()
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	if err := pbio.NewDelimitedWriter(s).WriteMsg(new(discoverypb.AdvertRequest)); err != nil {
		return nil, Advert{}, fmt.Errorf("asking: %w", err)
	}
	if err := s.CloseWrite(); err != nil {
		return nil, Advert{}, fmt.Errorf("asking: %w", err)
	}
	var res discoverypb.AdvertResponse
	if err := pbio.NewDelimitedReader(s, maxResponse).ReadMsg(&res); err != nil {
		return nil, Advert{}, fmt.Errorf("reading advert: %w", err)
	}
	if e := res.GetError(); e != nil {
		return nil, Advert{}, status.FromPeer(status.FromWire(e))
	}
	a, err := Open(res.GetEnvelope(), info.ID, now())
	return res.GetEnvelope(), a, err
}
