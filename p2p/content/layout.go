package content

import (
	"fmt"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	unixfspb "github.com/ipfs/boxo/ipld/unixfs/pb"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// subtree is a DAG of a file, or a part of it, while the file's tree is built.
type subtree struct {
	cid   cid.Cid
	size  uint64
	total uint64
}

// layout builds the balanced tree over leaves, which are full but for the last
// one, bottom up: all leaves have the same depth. It returns the top and the
// inner nodes, children first. There is at least one leaf; a single leaf is its
// own top.
func layout(leaves []subtree) (subtree, []blocks.Block, error) {
	var inner []blocks.Block
	for level := leaves; ; {
		if len(level) == 1 {
			return level[0], inner, nil
		}
		next := make([]subtree, 0, (len(level)+MaxLinks-1)/MaxLinks)
		for len(level) > 0 {
			n := min(MaxLinks, len(level))
			t, b, err := parent(level[:n])
			if err != nil {
				return subtree{}, nil, err
			}
			inner = append(inner, b)
			next = append(next, t)
			level = level[n:]
		}
		level = next
	}
}

func parent(children []subtree) (subtree, blocks.Block, error) {
	fs := unixfs.NewFSNode(unixfspb.Data_File)
	node := &merkledag.ProtoNode{}
	if err := node.SetCidBuilder(dagPB); err != nil {
		return subtree{}, nil, err
	}
	var t subtree
	for _, c := range children {
		if err := node.AddRawLink("", &format.Link{Size: c.total, Cid: c.cid}); err != nil {
			return subtree{}, nil, err
		}
		fs.AddBlockSize(c.size)
		t.size += c.size
		t.total += c.total
	}
	data, err := fs.GetBytes()
	if err != nil {
		return subtree{}, nil, err
	}
	node.SetData(data)
	return finish(node, t)
}

func finish(node *merkledag.ProtoNode, t subtree) (subtree, blocks.Block, error) {
	raw, err := node.EncodeProtobuf(false)
	if err != nil {
		return subtree{}, nil, fmt.Errorf("encoding node: %w", err)
	}
	t.cid = node.Cid()
	t.total += uint64(len(raw))
	b, err := blocks.NewBlockWithCid(raw, t.cid)
	return t, b, err
}
