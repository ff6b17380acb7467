package main

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/p2p"
	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
)

// contentFetch fetches an image as a provider does: manifest, configuration,
// then all layers at once, over a connection that is open already. It ends when
// all are verified and on disk.
func contentFetch(ctx context.Context, addr, root, digest, dir string, begin func()) (n int64, err error) {
	c, err := cid.Decode(root)
	if err != nil {
		return 0, err
	}
	from, err := p2p.ParsePeer(addr)
	if err != nil {
		return 0, err
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return 0, err
	}
	node, err := p2p.New(p2p.Config{Identity: key, Listen: []string{"/ip4/0.0.0.0/tcp/0"}, Server: true})
	if err != nil {
		return 0, err
	}
	store, err := content.New(content.Config{Dir: dir, Host: node.Host(), Routing: node.Routing()})
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- node.Run(ctx) }()
	go func() { ended <- store.Run(ctx) }()
	for _, ready := range []<-chan struct{}{node.Ready(), store.Serving()} {
		select {
		case <-ready:
		case err := <-ended:
			return 0, errors.Join(err, errors.New("the node ended"))
		}
	}
	if err := node.Connect(ctx, from); err != nil {
		return 0, err
	}
	begin()
	img, err := ipdr.Open(ctx, store, content.Origin{Root: c, From: []peer.ID{from.ID}, Anyone: true}, digest)
	if err != nil {
		return 0, err
	}
	var blobs []*content.Blob
	for _, l := range img.Layers {
		b, err := l.Fetch(ctx, nil)
		if err != nil {
			return 0, err
		}
		defer b.Close()
		blobs = append(blobs, b)
		n += l.Size
	}
	for _, b := range blobs {
		if err := b.Wait(ctx); err != nil {
			return 0, err
		}
	}
	return n, nil
}
