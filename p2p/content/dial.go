package content

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
)

// openStream opens a content stream to a peer. One identity may have several
// processes, such as a publisher that follows logs while it deploys, and each
// has a connection of its own here; only those that serve content answer the
// protocol. So each connection is tried before a new one is made.
func (s *Store) openStream(ctx context.Context, p peer.ID) (network.Stream, error) {
	var refused error
	for _, c := range s.cfg.Host.Network().ConnsToPeer(p) {
		if c.Stat().Limited {
			continue
		}
		st, err := negotiate(ctx, c)
		if err == nil {
			return st, nil
		}
		if refused = errors.Join(refused, err); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	st, err := s.cfg.Host.NewStream(ctx, p, Protocol)
	if err != nil {
		return nil, errors.Join(refused, err)
	}
	return st, nil
}

// negotiate opens a stream on one connection (multistream-select 1.0).
func negotiate(ctx context.Context, c network.Conn) (network.Stream, error) {
	st, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
	defer stop()
	_, err = msmux.SelectOneOf([]protocol.ID{Protocol}, st)
	if err == nil {
		err = st.SetProtocol(Protocol)
	}
	if err != nil {
		_ = st.Reset()
		return nil, err
	}
	return st, nil
}
