package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	flatfs "github.com/ipfs/go-ds-flatfs"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"

	"apocryph/p2p"
)

// stockNode is an IPFS node as its libraries make one: a default host, bitswap
// with its default settings, blocks in flatfs as kubo configures it.
type stockNode struct {
	host   host.Host
	flat   *flatfs.Datastore
	blocks blockstore.Blockstore
	swap   *bitswap.Bitswap
}

func newStock(ctx context.Context, dir, listen string) (*stockNode, error) {
	shard, err := flatfs.ParseShardFunc("/repo/flatfs/shard/v1/next-to-last/2")
	if err != nil {
		return nil, err
	}
	n := &stockNode{}
	if n.flat, err = flatfs.CreateOrOpen(dir, shard, false); err != nil {
		return nil, err
	}
	n.blocks = blockstore.NewBlockstore(n.flat, blockstore.NoPrefix())
	if n.host, err = libp2p.New(libp2p.ListenAddrStrings(listen)); err != nil {
		return nil, err
	}
	n.swap = bitswap.New(ctx, bsnet.NewFromIpfsHost(n.host), nil, n.blocks)
	return n, nil
}

func (n *stockNode) close() error { return errors.Join(n.swap.Close(), n.host.Close(), n.flat.Close()) }

// stockServe imports files with the stock chunk size and serves them.
func stockServe(ctx context.Context, dir, listen string, files []string) error {
	n, err := newStock(ctx, dir, listen)
	if err != nil {
		return err
	}
	dag := merkledag.NewDAGService(blockservice.New(n.blocks, nil))
	var said endpoint
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		params := helpers.DagBuilderParams{
			Dagserv: dag, RawLeaves: true, Maxlinks: helpers.DefaultLinksPerBlock,
			CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256},
		}
		db, err := params.New(chunk.DefaultSplitter(f))
		if err != nil {
			return err
		}
		root, err := balanced.Layout(db)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		said.Roots = append(said.Roots, root.Cid().String())
	}
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()})
	if err != nil {
		return err
	}
	said.Addr = addrs[0].String()
	if err := say(said); err != nil {
		return err
	}
	untilTold()
	return n.close()
}

// stockFetch brings whole graphs into a block store and syncs it once, as `ipfs
// pin add` does.
func stockFetch(ctx context.Context, addr, dir string, roots []string, begin func()) (int64, error) {
	n, err := newStock(ctx, filepath.Join(dir, "blocks"), "/ip4/0.0.0.0/tcp/0")
	if err != nil {
		return 0, err
	}
	from, err := p2p.ParsePeer(addr)
	if err != nil {
		return 0, err
	}
	if err := n.host.Connect(ctx, from); err != nil {
		return 0, err
	}
	dag := merkledag.NewDAGService(blockservice.New(n.blocks, n.swap))
	begin()
	var total int64
	for _, text := range roots {
		root, err := cid.Decode(text)
		if err != nil {
			return 0, err
		}
		if err := merkledag.FetchGraph(ctx, root, dag); err != nil {
			return 0, err
		}
		top, err := dag.Get(ctx, root)
		if err != nil {
			return 0, err
		}
		size, err := top.Size()
		if err != nil {
			return 0, err
		}
		total += int64(size)
	}
	return total, syncFileSystem(dir)
}
