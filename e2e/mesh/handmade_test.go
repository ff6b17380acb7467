package mesh

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/manifest"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// handmade is the service of a publisher's node, assembled by the test: its
// calls to providers go through the test.
func handmade(s *publisherd.Session, providers publisher.Providers) *publisher.Service {
	return publisher.New(publisher.Config{
		Peer: []byte(s.Peer()), Resolver: references{}, Sealer: sealer{s.Images}, Content: s.Images, Finder: nobody{}, Connection: connection{s},
		Providers: providers, Codec: s.Pods, Pods: s.Pods, Apps: s.State, Machines: s.State.Machines(), Keys: s.State.ReceiptKeys(), Counters: s.State.Counters(), Policies: s.State, Logs: s.State.Logs(), Now: time.Now,
	})
}

// references hands a reference through to the sealer, which resolves it.
type references struct{}

func (references) Resolve(_ context.Context, ref, _, _ string) (*publisher.Image, error) {
	return &publisher.Image{Source: ref}, nil
}

type sealer struct{ images *publisherd.Images }

func (s sealer) Seal(ctx context.Context, img *publisher.Image, report func(done, total int64)) (*manifest.Sealed, error) {
	return s.images.Seal(ctx, img.Source, "", platform, report)
}

type nobody struct{}

func (nobody) Find(context.Context, publisher.Query, func(publisher.Candidate)) error { return nil }

type connection struct{ s *publisherd.Session }

func (c connection) Connect(ctx context.Context, t publisher.Target) ([]byte, error) {
	id, err := peer.Decode(string(t.ID))
	if err != nil {
		return nil, err
	}
	return []byte(id), c.s.Reach(ctx, t)
}
