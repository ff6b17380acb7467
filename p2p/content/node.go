package content

import (
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// The shape of a file's DAG, which is part of its CID.
const (
	// ChunkSize is the size of a raw leaf in bytes; the last one may be shorter.
	ChunkSize = 1 << 20
	// MaxLinks is the number of children of an inner node of a file.
	MaxLinks = 174
)

const (
	// maxBlock bounds a block, as bitswap does. A bigger one from a peer would
	// cost memory before it can be verified.
	maxBlock = 2 << 20
	// maxDepth bounds the depth of a DAG. A chain of nodes from a peer would
	// cost one round trip and one block for each.
	maxDepth = 8
	// maxEntries bounds a directory. It keeps a directory below the size at
	// which IPFS shards it, and a stranger's directory from filling memory.
	maxEntries = 1024
	// maxName bounds the name of a directory entry in bytes, as file systems do.
	maxName = 255
)

// Node is the top of a file or directory in the store.
type Node struct {
	CID cid.Cid
	// Size is the number of bytes of a file, 0 for a directory.
	Size int64
	// Total is the size of all blocks of the DAG, which a link to it carries (Tsize).
	Total uint64
	Dir   bool
	// Digest is "sha256:HEX" of a file's bytes where they were hashed, else empty.
	Digest string
}

// Entry is a node's name in a directory.
type Entry struct {
	Name string
	Node Node
}

var (
	dagPB = cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256}
	rawV1 = cid.V1Builder{Codec: cid.Raw, MhType: mh.SHA2_256}
)

// key is the SHA-256 that names a block.
type key [32]byte

// keyOf returns the hash in c. Only SHA-256 in CIDv0 or CIDv1 is known here:
// other hashes and identity CIDs are refused.
func keyOf(c cid.Cid) (key, bool) {
	var k key
	h := c.Hash()
	if len(h) != 34 || h[0] != mh.SHA2_256 || h[1] != 32 {
		return k, false
	}
	return key(h[2:]), true
}

func leafCID(sum [32]byte) cid.Cid {
	h := make([]byte, 0, 34)
	h = append(h, mh.SHA2_256, 32)
	return cid.NewCidV1(cid.Raw, append(h, sum[:]...))
}

func isLeaf(c cid.Cid) bool { return c.Prefix().Codec == cid.Raw }
