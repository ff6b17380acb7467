package tlog

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"apocryph/proto/status"
)

// Storage keeps a log. Hashes are numbered densely, as [tlog.StoredHashIndex]
// says; there are under two for each entry.
type Storage interface {
	// Size is the number of entries.
	Size(ctx context.Context) (int64, error)
	// ReadHashes returns the hashes of these numbers, in order, as many as asked
	// for, or an error.
	ReadHashes(ctx context.Context, numbers []int64) ([]Hash, error)
	// Append stores entry number size, and hashes from number first on, in one
	// step that is durable when it returns. Where there is not exactly that many
	// entries it stores nothing and returns a conflict.
	Append(ctx context.Context, size int64, entry []byte, first int64, hashes []Hash) error
}

// Log is a provider's side of the log. It is safe for concurrent use; the
// storage has one Log.
type Log struct {
	storage Storage
	mu      sync.Mutex
}

// New returns the log of a storage. Call [Log.Contains] with the last head that
// was signed before anything is signed again.
func New(s Storage) *Log { return &Log{storage: s} }

func (l *Log) reader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(numbers []int64) ([]Hash, error) {
		if len(numbers) == 0 {
			return nil, nil
		}
		return l.storage.ReadHashes(ctx, numbers)
	})
}

// Append adds an entry and returns its index. It is durable then, so a head that
// is signed later has it after every crash too.
func (l *Log) Append(ctx context.Context, e Entry) (int64, error) {
	b, err := e.Encode()
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size, err := l.size(ctx)
	if err != nil {
		return 0, err
	}
	if size >= MaxSize {
		return 0, status.New(status.ResourceExhausted, reasonFull, "the transparency log has %d entries, which is all that it may have", size)
	}
	hashes, err := tlog.StoredHashes(size, b, l.reader(ctx))
	if err != nil {
		return 0, fmt.Errorf("hashing an entry: %w", err)
	}
	if err := l.storage.Append(ctx, size, b, tlog.StoredHashIndex(0, size), hashes); err != nil {
		return 0, fmt.Errorf("storing an entry: %w", err)
	}
	return size, nil
}

func (l *Log) size(ctx context.Context) (int64, error) {
	n, err := l.storage.Size(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the size of the log: %w", err)
	}
	if n < 0 || n > MaxSize {
		return 0, damaged("it has %d entries", n)
	}
	return n, nil
}

// root is that of the first n entries.
func (l *Log) root(ctx context.Context, n int64) (Hash, error) {
	if n == 0 {
		return emptyRoot(), nil
	}
	h, err := tlog.TreeHash(n, l.reader(ctx))
	if err != nil {
		return Hash{}, fmt.Errorf("reading the tree: %w", err)
	}
	return h, nil
}

// Sign signs the tree as it is now, for a boot and a time.
func (l *Log) Sign(ctx context.Context, peer string, bootEpoch []byte, now time.Time, key ed25519.PrivateKey) ([]byte, Head, error) {
	size, err := l.size(ctx)
	if err != nil {
		return nil, Head{}, err
	}
	root, err := l.root(ctx, size)
	if err != nil {
		return nil, Head{}, err
	}
	h := Head{Peer: peer, Size: size, Root: root, BootEpoch: bootEpoch, Time: now.UTC()}
	b, err := SignHead(h, key)
	if err != nil {
		return nil, Head{}, err
	}
	return b, h, nil
}

// Contains checks that the log still begins with the tree of a head that it
// signed before. A disk that went back in time would make the provider
// contradict itself, and whoever has both heads could prove it: on the error,
// internal "tlog.damaged", nothing may be signed.
func (l *Log) Contains(ctx context.Context, old Head) error {
	size, err := l.size(ctx)
	if err != nil {
		return err
	}
	if old.Size < 0 || old.Size > size {
		return damaged("it has %d entries, and a head of %d was signed", size, old.Size)
	}
	root, err := l.root(ctx, old.Size)
	if err != nil {
		return err
	}
	if root != old.Root {
		return damaged("its first %d entries are not those that were signed", old.Size)
	}
	return nil
}

// ProveInclusion proves that the tree of size entries has a leaf at index.
// invalid_argument "tlog.range" is a tree or an entry that is not there.
func (l *Log) ProveInclusion(ctx context.Context, index, size int64) (Inclusion, error) {
	if err := l.within(ctx, index, size, index < size); err != nil {
		return Inclusion{}, err
	}
	r := l.reader(ctx)
	hashes, err := tlog.ProveRecord(size, index, r)
	if err != nil {
		return Inclusion{}, fmt.Errorf("proving an entry: %w", err)
	}
	root, err := l.root(ctx, size)
	if err != nil {
		return Inclusion{}, err
	}
	leaf, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return Inclusion{}, fmt.Errorf("reading a leaf: %w", err)
	}
	// A proof that does not hold would look like a lie.
	if len(leaf) != 1 || tlog.CheckRecord(hashes, size, root, index, leaf[0]) != nil {
		return Inclusion{}, damaged("entry %d is not in the tree of %d", index, size)
	}
	return Inclusion{index, size, emptyToNil(hashes)}, nil
}

// ProveConsistency proves that the tree of size entries begins with that of old
// entries. invalid_argument "tlog.range" is a tree that is not there.
func (l *Log) ProveConsistency(ctx context.Context, old, size int64) (Consistency, error) {
	if err := l.within(ctx, old, size, old <= size); err != nil {
		return Consistency{}, err
	}
	if old == 0 {
		return Consistency{0, size, nil}, nil
	}
	hashes, err := tlog.ProveTree(size, old, l.reader(ctx))
	if err != nil {
		return Consistency{}, fmt.Errorf("proving consistency: %w", err)
	}
	before, err := l.root(ctx, old)
	if err != nil {
		return Consistency{}, err
	}
	after, err := l.root(ctx, size)
	if err != nil {
		return Consistency{}, err
	}
	if tlog.CheckTree(hashes, size, after, old, before) != nil {
		return Consistency{}, damaged("the tree of %d does not begin with that of %d", size, old)
	}
	return Consistency{old, size, emptyToNil(hashes)}, nil
}

// emptyToNil gives a proof without hashes one form.
func emptyToNil(h []Hash) []Hash {
	if len(h) == 0 {
		return nil
	}
	return h
}

func (l *Log) within(ctx context.Context, part, size int64, ok bool) error {
	have, err := l.size(ctx)
	if err != nil {
		return err
	}
	if part < 0 || size > have || !ok {
		return status.New(status.InvalidArgument, reasonRange, "the log has %d entries, and a proof was asked for of %d in %d", have, part, size)
	}
	return nil
}

func damaged(format string, args ...any) error {
	return status.New(status.Internal, reasonDamaged, "the transparency log is damaged: "+format, args...)
}
