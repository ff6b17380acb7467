package content

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// maxMembers bounds the blocks of a root that is served: 2 million, 64 MiB of
// memory, 2 TiB of content. A provider serves roots that strangers made.
const maxMembers = 2 << 20

// members is the set of blocks below a root, as sorted hashes.
type members []key

func (m members) has(k key) bool {
	_, ok := slices.BinarySearchFunc(m, k, func(a, b key) int { return bytes.Compare(a[:], b[:]) })
	return ok
}

// membersOf builds the set from inner nodes alone; all of them must be here.
func (s *Store) membersOf(ctx context.Context, root cid.Cid) (members, error) {
	var m members
	seen := map[key]struct{}{}
	err := s.walk(ctx, child{cid: root, size: unknownSize}, func(c child, _ int64, in *inner) error {
		k, ok := keyOf(c.cid)
		if !ok {
			return fmt.Errorf("block %s has a foreign hash", c.cid)
		}
		if in != nil {
			if _, again := seen[k]; again {
				return errSkip
			}
			seen[k] = struct{}{}
		}
		if m = append(m, k); len(m) > maxMembers {
			return status.New(status.ResourceExhausted, "content.too_big", "content of more than %d blocks cannot be served", maxMembers)
		}
		return nil
	})
	if format.IsNotFound(err) {
		return nil, errNotHere(root)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(m, func(a, b key) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(m), nil
}
