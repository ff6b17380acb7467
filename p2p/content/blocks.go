package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// view is the one block store that every protocol serves from. It is read-only
// to them: what arrives is written by the fetch that asked for it.
type view struct{ s *Store }

var _ blockstore.Blockstore = view{}

var errReadOnly = errors.New("the view of the content store is read-only")

// Get implements [blockstore.Blockstore]. The block is verified.
func (v view) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	k, ok := keyOf(c)
	if !ok {
		return nil, format.ErrNotFound{Cid: c}
	}
	if r, ok := v.s.files.leaf(k); ok {
		buf := make([]byte, r.size)
		if err := v.s.readLeaf(ctx, r, k, buf, false); err == nil {
			return blocks.NewBlockWithCid(buf, c)
		}
	}
	b, err := v.s.blocks.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	if sum, err := c.Prefix().Sum(b.RawData()); err != nil || !sum.Equals(c) {
		return nil, fmt.Errorf("reading block %s: %w", c, blockstore.ErrHashMismatch)
	}
	return b, nil
}

// GetSize implements [blockstore.Blockstore].
func (v view) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	k, ok := keyOf(c)
	if !ok {
		return -1, format.ErrNotFound{Cid: c}
	}
	if r, ok := v.s.files.leaf(k); ok {
		return int(r.size), nil
	}
	return v.s.blocks.GetSize(ctx, c)
}

// Has implements [blockstore.Blockstore].
func (v view) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := v.GetSize(ctx, c)
	if format.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// AllKeysChan implements [blockstore.Blockstore]. Nobody may list the store.
func (view) AllKeysChan(context.Context) (<-chan cid.Cid, error) { return nil, errReadOnly }

// Put implements [blockstore.Blockstore].
func (view) Put(context.Context, blocks.Block) error { return errReadOnly }

// PutMany implements [blockstore.Blockstore].
func (view) PutMany(context.Context, []blocks.Block) error { return errReadOnly }

// DeleteBlock implements [blockstore.Blockstore].
func (view) DeleteBlock(context.Context, cid.Cid) error { return errReadOnly }
