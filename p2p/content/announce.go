package content

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// announceTime bounds one announcement.
const announceTime = 2 * time.Minute

// Announce tells the routing that this node has a public root: the root's CID
// alone, not that of every block. A root that is not public is refused, because
// the record would tell strangers what is deployed.
func (s *Store) Announce(ctx context.Context, root cid.Cid) error {
	if s.cfg.Routing == nil {
		return status.New(status.Unavailable, "content.no_routing", "content cannot be announced without a routing")
	}
	if !slices.Contains(s.Public(), root) {
		return status.New(status.InvalidArgument, "content.not_public", "%s is not public", root)
	}
	ctx, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	if err := s.cfg.Routing.Provide(ctx, root, true); err != nil {
		return status.Wrap(err, status.Unavailable, "content.announce", "cannot announce %s", root)
	}
	return nil
}

// announcePublic announces every public root at start and then at intervals:
// provider records expire.
func (s *Store) announcePublic(ctx context.Context) error {
	if s.cfg.Routing == nil {
		return nil
	}
	t := time.NewTicker(s.cfg.AnnounceEvery)
	defer t.Stop()
	for {
		for _, root := range s.Public() {
			if err := s.Announce(ctx, root); err != nil && ctx.Err() == nil {
				level := slog.LevelWarn
				if len(s.cfg.Host.Network().Peers()) == 0 {
					level = slog.LevelDebug // a node by itself has nobody to tell
				}
				s.log.Log(ctx, level, "cannot announce content", "root", root, "error", fmt.Sprint(err))
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}
