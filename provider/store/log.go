package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"strings"

	xtlog "golang.org/x/mod/sumdb/tlog"

	"apocryph/attest/tlog"
	"apocryph/proto/status"
)

// maxSameLeaf bounds how many entries are compared with a leaf that is looked
// for: the index has 64 bits of it, so a stranger can make some look alike.
const maxSameLeaf = 8

// Log is the transparency log in the store, a [tlog.Storage]. It is neither
// secret nor sealed: what the disk's owner changes in it no longer fits the head
// that was signed. See [HeadFile].
type Log struct{ db *DB }

var _ tlog.Storage = Log{}

// Log returns the transparency log.
func (d *DB) Log() Log { return Log{d} }

// Size implements [tlog.Storage].
func (l Log) Size(ctx context.Context) (int64, error) {
	var n int64
	err := l.db.sql.QueryRowContext(ctx, "SELECT coalesce(max(number) + 1, 0) FROM tlog_entries").Scan(&n)
	return n, l.db.wrap(err)
}

// ReadHashes implements [tlog.Storage].
func (l Log) ReadHashes(ctx context.Context, numbers []int64) ([]tlog.Hash, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	args := make([]any, len(numbers))
	for i, n := range numbers {
		args[i] = n
	}
	rows, err := l.db.sql.QueryContext(ctx, "SELECT number, hash FROM tlog_hashes WHERE number IN (?"+strings.Repeat(", ?", len(numbers)-1)+")", args...)
	if err != nil {
		return nil, l.db.wrap(err)
	}
	defer func() { _ = rows.Close() }() // its error is that of Err below
	found := make(map[int64]tlog.Hash, len(numbers))
	for rows.Next() {
		var n int64
		var h []byte
		if err := rows.Scan(&n, &h); err != nil {
			return nil, l.db.wrap(err)
		}
		if len(h) == xtlog.HashSize {
			found[n] = tlog.Hash(h)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, l.db.wrap(err)
	}
	out := make([]tlog.Hash, len(numbers))
	for i, n := range numbers {
		h, ok := found[n]
		if !ok {
			return nil, l.db.corrupt(fmt.Errorf("hash %d of the transparency log is not there", n))
		}
		out[i] = h
	}
	return out, nil
}

// Append implements [tlog.Storage].
func (l Log) Append(ctx context.Context, size int64, entry []byte, first int64, hashes []tlog.Hash) error {
	err := l.db.transact(ctx, func(tx *sql.Tx) error {
		var entries, stored int64
		err := tx.QueryRowContext(ctx, `SELECT (SELECT coalesce(max(number) + 1, 0) FROM tlog_entries),
			(SELECT coalesce(max(number) + 1, 0) FROM tlog_hashes)`).Scan(&entries, &stored)
		if err != nil {
			return err
		}
		if entries != size || stored != first {
			return status.New(status.Conflict, "store.log_moved", "the transparency log has %d entries, and number %d was to be stored", entries, size)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO tlog_entries VALUES (?, ?, ?)", size, leafIndex(xtlog.RecordHash(entry)), entry); err != nil {
			return err
		}
		for i, h := range hashes {
			if _, err := tx.ExecContext(ctx, "INSERT INTO tlog_hashes VALUES (?, ?)", first+int64(i), h[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("appending to the transparency log: %w", err)
	}
	return nil
}

// Find returns the number of the entry with a leaf; false where there is none.
func (l Log) Find(ctx context.Context, leaf tlog.Hash) (number int64, ok bool, err error) {
	rows, err := l.db.sql.QueryContext(ctx, "SELECT number, entry FROM tlog_entries WHERE leaf = ? ORDER BY number LIMIT ?", leafIndex(leaf), maxSameLeaf)
	if err != nil {
		return 0, false, l.db.wrap(err)
	}
	defer func() { _ = rows.Close() }() // its error is that of Err below
	for rows.Next() {
		var entry []byte
		if err := rows.Scan(&number, &entry); err != nil {
			return 0, false, l.db.wrap(err)
		}
		if xtlog.RecordHash(entry) == leaf {
			return number, true, nil
		}
	}
	return 0, false, l.db.wrap(rows.Err())
}

func leafIndex(leaf tlog.Hash) int64 { return int64(binary.BigEndian.Uint64(leaf[:8])) }
