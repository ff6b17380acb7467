package content

import (
	"context"
	"errors"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/routing"
)

// The settings of the bitswap server. With the defaults it has one 1 MiB block
// in flight to a peer, which costs a round trip for each.
const (
	outstandingPerPeer = 32 << 20
	taskWorkers        = 32
	targetMessage      = 1 << 20
)

const (
	// maxWants bounds what is asked for at once, in units of wantUnit bytes. A
	// server drops what is beyond 1024 wants of a peer, and the loss is noticed
	// only half a minute later; and each answer is held in memory until it is
	// written.
	maxWants = 512
	wantUnit = 128 << 10
	// batchWants bounds one batch.
	batchWants = 256
)

// startBitswap starts bitswap over the view. The end of ctx does not stop it:
// Close does.
func (s *Store) startBitswap(ctx context.Context) *bitswap.Bitswap {
	net := bsnet.NewFromIpfsHost(s.cfg.Host)
	var find routing.ContentDiscovery
	if s.cfg.Routing != nil {
		find = s.cfg.Routing
	}
	return bitswap.New(ctx, net, find, view{s},
		bitswap.MaxOutstandingBytesPerPeer(outstandingPerPeer),
		bitswap.TaskWorkerCount(taskWorkers),
		bitswap.EngineTaskWorkerCount(taskWorkers),
		bitswap.WithTargetMessageSize(targetMessage),
		bitswap.WithPeerBlockRequestFilter(s.access.block),
	)
}

// ask brings blocks over bitswap and hands each to got, which verifies what
// bitswap does not: it only delivers what hashes to a CID that was asked for.
func (s *Store) ask(ctx context.Context, wants []want, got func(want, blocks.Block) error) error {
	s.mu.Lock()
	bs := s.bitswap
	s.mu.Unlock()
	if bs == nil {
		return status.New(status.Unavailable, "content.offline", "the content store does not run on a network")
	}
	for len(wants) > 0 {
		n, weight := 0, int64(0)
		for n < len(wants) && n < batchWants {
			w := int64(1) // an inner node is small, however long the part of the file below it
			if isLeaf(wants[n].cid) {
				w += min(max(wants[n].size, 0), maxBlock) / wantUnit
			}
			if n > 0 && weight+w > maxWants/2 {
				break
			}
			weight += w
			n++
		}
		if err := s.wants.Acquire(ctx, weight); err != nil {
			return err
		}
		err := askBatch(ctx, bs, wants[:n], s.idle, got)
		s.wants.Release(weight)
		if err != nil {
			return err
		}
		wants = wants[n:]
	}
	return nil
}

func askBatch(ctx context.Context, bs *bitswap.Bitswap, wants []want, wait time.Duration, got func(want, blocks.Block) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a session that is not ended leaks
	byCID := make(map[cid.Cid][]want, len(wants))
	cids := make([]cid.Cid, 0, len(wants))
	for _, w := range wants {
		if _, dup := byCID[w.cid]; !dup {
			cids = append(cids, w.cid)
		}
		byCID[w.cid] = append(byCID[w.cid], w)
	}
	arriving, err := bs.NewSession(ctx).GetBlocks(ctx, cids)
	if err != nil {
		return err
	}
	idle := time.NewTimer(wait)
	defer idle.Stop()
	for len(byCID) > 0 {
		select {
		case b, ok := <-arriving:
			if !ok {
				if err := ctx.Err(); err != nil {
					return err
				}
				return errors.New("bitswap ended early")
			}
			for _, w := range byCID[b.Cid()] {
				if isLeaf(w.cid) && w.size >= 0 && int64(len(b.RawData())) != w.size {
					return lying("leaf of %d bytes where %d were expected", len(b.RawData()), w.size)
				}
				if err := got(w, b); err != nil {
					return err
				}
			}
			delete(byCID, b.Cid())
			idle.Reset(wait)
		case <-idle.C:
			return status.New(status.Unavailable, "content.no_source", "nobody who was found has this content")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// fromNetwork asks anyone for what is missing of a blob.
func (f *fetch) fromNetwork(ctx context.Context) error {
	for {
		wants, err := f.missing(ctx, true)
		if err != nil || len(wants) == 0 {
			return err
		}
		err = f.s.ask(ctx, wants, func(w want, b blocks.Block) error {
			if isLeaf(w.cid) {
				return f.write(w, b.RawData(), SourceNetwork)
			}
			in, err := checkInner(w, b.RawData())
			if err != nil {
				return err
			}
			return f.putInner(ctx, in, b.RawData())
		})
		if err != nil {
			return err
		}
	}
}
