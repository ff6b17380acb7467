// Package content is the embedded IPFS node: it adds, keeps, serves and fetches
// UnixFS DAGs.
//
// A [Store] has one view of blocks over two kinds of storage. Inner nodes
// (dag-pb) and small blocks are in a flatfs block store. Big files are kept
// once, as ordinary files, and their raw leaves are read from the file by
// offset: an index maps the hash of a leaf to file, offset and length. It is
// rebuilt at start from the inner nodes, so that there is no second truth. A
// leaf that no longer hashes to its name is never served; its file is dropped
// from the index.
//
// DAGs have the shape that `ipfs add --cid-version=1 --raw-leaves
// --chunker=size-1048576` makes: balanced, 174 links a node, raw leaves of
// 1 MiB. Any IPFS node can read them.
//
// Three protocols serve the same view: our content stream, which is CAR
// sections in depth-first order, bitswap, and the trustless gateway over
// libp2p HTTP. All of them deny by default: a peer may read the blocks below a
// root that was granted to it ([Store.Grant]) or made public
// ([Store.SetPublic]), and nothing else.
//
// A fetch goes to the peers that were named, over the content stream, and then,
// where the request allows it, to anyone over bitswap. Every block is verified
// as it arrives, before anyone can read it; a blob's SHA-256 is verified before
// its last byte can be read. A [Blob] may be read while it arrives. What was
// fetched before a crash or a lost peer is hashed again, and the fetch goes on
// from there.
//
// Content stays while an owner pins its root ([Store.Pin]). [Store.GC] removes
// the rest, but never what is being added or fetched.
package content
