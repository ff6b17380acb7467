package mesh

import (
	"context"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/p2p"
	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
	"apocryph/p2p/p2ptest"
)

// thief is a peer with a content store of its own that asks others for what
// was not granted to it.
type thief struct {
	t     *testing.T
	node  *p2p.Node
	store *content.Store
}

func newThief(t *testing.T) *thief {
	t.Helper()
	node := p2ptest.Start(t, p2p.Config{Identity: p2ptest.Key(t), Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	store, err := content.New(content.Config{Dir: t.TempDir(), Host: node.Host()})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the content store ended: %v", err)
		}
	})
	happens(t, "the thief's store serves", store.Serving())
	return &thief{t, node, store}
}

// fetch asks the peer at an address for an image's directory, as a provider does.
func (f *thief) fetch(addr, root string) error {
	info, err := p2p.ParsePeer(addr)
	if err != nil {
		return err
	}
	if err := f.node.Connect(f.t.Context(), info); err != nil {
		return err
	}
	c, err := cid.Decode(root)
	if err != nil {
		return err
	}
	_, err = ipdr.Open(f.t.Context(), f.store, content.Origin{Root: c, From: []peer.ID{info.ID}}, "")
	return err
}
