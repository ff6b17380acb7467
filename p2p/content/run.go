package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	libp2phttp "github.com/libp2p/go-libp2p/p2p/http"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"
	"golang.org/x/sync/errgroup"
)

var bitswapProtocols = []protocol.ID{
	bsnet.ProtocolBitswap, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers,
}

// Run serves all protocols and announces public roots until ctx ends. Then it
// ends every fetch, waits for all that it started, and closes the store. It is
// called once.
func (s *Store) Run(ctx context.Context) error {
	err := s.run(ctx)
	if cerr := s.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing content store: %w", cerr)
	}
	return err
}

func (s *Store) run(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.stop = cancel
	s.mu.Unlock()
	if s.cfg.Host == nil {
		close(s.serving)
		<-ctx.Done()
		return nil
	}
	bs := s.startBitswap(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.bitswap = bs
	s.mu.Unlock()

	g, ctx := errgroup.WithContext(ctx)
	s.cfg.Host.SetStreamHandler(Protocol, func(st network.Stream) {
		if ctx.Err() != nil || s.begin() != nil {
			_ = st.Reset()
			return
		}
		defer s.wg.Done()
		stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
		defer stop()
		s.serve(ctx, &s.streams, st)
	})
	listen, err := gostream.Listen(s.cfg.Host, libp2phttp.ProtocolIDForMultistreamSelect, gostream.IgnoreEOF())
	if err != nil {
		cancel()
	} else {
		g.Go(func() error { return s.serveGateway(ctx, listen) })
		close(s.serving)
	}
	g.Go(func() error { return s.announcePublic(ctx) })
	err = errors.Join(err, g.Wait())

	s.cfg.Host.RemoveStreamHandler(Protocol)
	for _, p := range bitswapProtocols {
		s.cfg.Host.RemoveStreamHandler(p)
	}
	s.mu.Lock()
	s.bitswap = nil
	s.mu.Unlock()
	return errors.Join(err, bs.Close())
}
