package tlog

import (
	"bytes"
	"context"
	"sync"

	"apocryph/proto/status"
)

// Memory is a [Storage] that keeps nothing: for tests, and for whoever has a
// log's entries and computes its trees. The zero value is empty.
type Memory struct {
	mu      sync.Mutex
	entries [][]byte
	hashes  []Hash
}

// Size implements [Storage].
func (m *Memory) Size(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.entries)), nil
}

// ReadHashes implements [Storage].
func (m *Memory) ReadHashes(_ context.Context, numbers []int64) ([]Hash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Hash, len(numbers))
	for i, n := range numbers {
		if n < 0 || n >= int64(len(m.hashes)) {
			return nil, damaged("hash %d is not there", n)
		}
		out[i] = m.hashes[n]
	}
	return out, nil
}

// Append implements [Storage].
func (m *Memory) Append(_ context.Context, size int64, entry []byte, first int64, hashes []Hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if size != int64(len(m.entries)) || first != int64(len(m.hashes)) {
		return status.New(status.Conflict, reasonMoved, "the log has %d entries, and number %d was to be stored", len(m.entries), size)
	}
	m.entries = append(m.entries, bytes.Clone(entry))
	m.hashes = append(m.hashes, hashes...)
	return nil
}

// Entry returns the bytes of an entry; false for one that is not there.
func (m *Memory) Entry(index int64) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if index < 0 || index >= int64(len(m.entries)) {
		return nil, false
	}
	return bytes.Clone(m.entries[index]), true
}

// Rebuild computes the log of entries that were read from elsewhere, for
// [Log.Contains] and proofs.
func Rebuild(ctx context.Context, entries []Entry) (*Log, error) {
	l := New(new(Memory))
	for _, e := range entries {
		if _, err := l.Append(ctx, e); err != nil {
			return nil, err
		}
	}
	return l, nil
}
