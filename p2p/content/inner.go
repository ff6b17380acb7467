package content

import (
	"errors"
	"fmt"
	"math"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	unixfspb "github.com/ipfs/boxo/ipld/unixfs/pb"
	"github.com/ipfs/go-cid"
)

// inner is a decoded dag-pb node: a directory, or an inner node of a file.
type inner struct {
	dir      bool
	size     int64
	children []child
	// raw is the block.
	raw []byte
}

// child is one link. Size is the number of bytes of the file below it: known
// for a file's parts, and for a directory's entries only where they are leaves.
type child struct {
	cid   cid.Cid
	name  string
	size  int64
	total uint64
}

const unknownSize = -1

// parseInner decodes a stranger's dag-pb block whose hash was verified. It
// refuses what this node never makes and could not serve from files: shards,
// symlinks, inline data, foreign hashes, sizes that do not add up.
func parseInner(data []byte) (in inner, err error) {
	// The decoders below have panicked on strangers' bytes in the past.
	defer func() {
		if r := recover(); r != nil {
			in, err = inner{}, fmt.Errorf("decoding node: %v", r)
		}
	}()
	if len(data) > maxBlock {
		return inner{}, fmt.Errorf("node of %d bytes, at most %d", len(data), maxBlock)
	}
	pn, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return inner{}, fmt.Errorf("decoding node: %w", err)
	}
	fs, err := unixfs.FSNodeFromBytes(pn.Data())
	if err != nil {
		return inner{}, fmt.Errorf("decoding unixfs node: %w", err)
	}
	switch fs.Type() {
	case unixfspb.Data_Directory:
		in, err = parseDir(pn)
	case unixfspb.Data_File:
		in, err = parseFile(pn, fs)
	default:
		return inner{}, fmt.Errorf("unixfs node of type %s, want a file or a plain directory", fs.Type())
	}
	in.raw = data
	return in, err
}

func parseDir(pn *merkledag.ProtoNode) (inner, error) {
	links := pn.Links()
	if len(links) > maxEntries {
		return inner{}, fmt.Errorf("directory of %d entries, at most %d", len(links), maxEntries)
	}
	in := inner{dir: true, children: make([]child, 0, len(links))}
	seen := make(map[string]struct{}, len(links))
	for _, l := range links {
		if err := checkName(l.Name); err != nil {
			return inner{}, err
		}
		if _, dup := seen[l.Name]; dup {
			return inner{}, fmt.Errorf("directory has the name %q twice", l.Name)
		}
		seen[l.Name] = struct{}{}
		c := child{cid: l.Cid, name: l.Name, size: unknownSize, total: l.Size}
		if err := checkLink(l.Cid); err != nil {
			return inner{}, err
		}
		if isLeaf(l.Cid) {
			if l.Size > maxBlock {
				return inner{}, fmt.Errorf("leaf of %d bytes, at most %d", l.Size, maxBlock)
			}
			c.size = int64(l.Size)
		}
		in.children = append(in.children, c)
	}
	return in, nil
}

func parseFile(pn *merkledag.ProtoNode, fs *unixfs.FSNode) (inner, error) {
	links := pn.Links()
	switch {
	case len(fs.Data()) > 0:
		return inner{}, errors.New("file node with inline data, want raw leaves")
	case len(links) == 0:
		return inner{}, errors.New("file node without children")
	case len(links) != fs.NumChildren():
		return inner{}, fmt.Errorf("file node of %d links and %d sizes", len(links), fs.NumChildren())
	case fs.FileSize() > math.MaxInt64:
		return inner{}, errors.New("file node with a size beyond 63 bits")
	}
	in := inner{size: int64(fs.FileSize()), children: make([]child, 0, len(links))}
	left := fs.FileSize()
	for i, l := range links {
		n := fs.BlockSize(i)
		// A child of nothing would be a node for free, as many as a stranger likes.
		if n == 0 || n > left {
			return inner{}, fmt.Errorf("file node with a child of %d bytes where %d are left", n, left)
		}
		left -= n
		if err := checkLink(l.Cid); err != nil {
			return inner{}, err
		}
		if isLeaf(l.Cid) && n > maxBlock {
			return inner{}, fmt.Errorf("leaf of %d bytes, at most %d", n, maxBlock)
		}
		in.children = append(in.children, child{cid: l.Cid, size: int64(n), total: l.Size})
	}
	if left != 0 {
		return inner{}, fmt.Errorf("file node whose children lack %d bytes", left)
	}
	return in, nil
}

func checkLink(c cid.Cid) error {
	if _, ok := keyOf(c); !ok {
		return errors.New("link that is not a sha2-256 CID")
	}
	if codec := c.Prefix().Codec; codec != cid.Raw && codec != cid.DagProtobuf {
		return fmt.Errorf("link with codec %#x, want raw or dag-pb", codec)
	}
	return nil
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxName {
		return fmt.Errorf("directory entry with the name %.64q", name)
	}
	for _, r := range name {
		if r == '/' || r < ' ' || r == 0x7f || r == 0xfffd {
			return fmt.Errorf("directory entry with the name %.64q", name)
		}
	}
	return nil
}
