package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"apocryph/proto/status"
)

// Documents is one kind of what the front doors keep: small sealed values by
// name. What another data key sealed is as if it were not there, and comes back
// with that key.
type Documents struct {
	db   *DB
	kind string
}

// Documents returns the documents of a kind.
func (d *DB) Documents(kind string) Documents { return Documents{d, kind} }

// document is the plain value of documents.sealed. Kind and name tie it to its row.
type document struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// Put stores a document in place of the one of the same name. Errors are those of
// [DB.Save].
func (c Documents) Put(ctx context.Context, name string, value []byte) error {
	if len(value) > maxCellBytes {
		return status.New(status.ResourceExhausted, "store.record_size", "%s %s has %d bytes, want at most %d", c.kind, name, len(value), maxCellBytes)
	}
	plain, err := json.Marshal(document{c.kind, name, value})
	if err != nil {
		return fmt.Errorf("encoding %s %s: %w", c.kind, name, err)
	}
	err = c.db.transact(ctx, func(tx *sql.Tx) error {
		var id int64
		err := tx.QueryRowContext(ctx, "SELECT id FROM documents WHERE kind = ? AND name = ?", c.kind, name).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			err = tx.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'documents'), 0) + 1").Scan(&id)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO documents (id, kind, name, key, sealed) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET key = excluded.key, sealed = excluded.sealed`,
			id, c.kind, name, c.db.sealer.id, c.db.sealer.seal(cell("documents", "sealed", id), plain))
		return err
	})
	if err != nil {
		return fmt.Errorf("storing %s %s: %w", c.kind, name, err)
	}
	return nil
}

// Get returns a document, nil for none. One that its data key does not vouch for
// is untrusted, "store.tampered".
func (c Documents) Get(ctx context.Context, name string) (value []byte, err error) {
	err = c.db.transact(ctx, func(tx *sql.Tx) error {
		var id int64
		var key, sealed []byte
		err := tx.QueryRowContext(ctx, "SELECT id, key, sealed FROM documents WHERE kind = ? AND name = ?", c.kind, name).Scan(&id, &key, &sealed)
		if errors.Is(err, sql.ErrNoRows) || err == nil && !bytes.Equal(key, c.db.sealer.id) {
			return nil
		}
		if err == nil {
			value, err = c.open(id, name, sealed)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("loading %s %s: %w", c.kind, name, err)
	}
	return value, nil
}

// open is the value of a row of this kind and name.
func (c Documents) open(id int64, name string, sealed []byte) ([]byte, error) {
	plain, err := c.db.sealer.open(cell("documents", "sealed", id), sealed)
	if err != nil {
		return nil, c.db.tampered(fmt.Sprintf("row %d of documents", id))
	}
	var doc document
	if err := json.Unmarshal(plain, &doc); err != nil {
		return nil, c.db.corrupt(fmt.Errorf("decoding a document: %w", err))
	}
	if doc.Kind != c.kind || doc.Name != name {
		return nil, c.db.tampered(fmt.Sprintf("row %d of documents is of another kind or name", id))
	}
	return doc.Value, nil
}

// All returns the documents of the kind by name. One that its data key does not
// vouch for is untrusted, "store.tampered".
func (c Documents) All(ctx context.Context) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := c.db.transact(ctx, func(tx *sql.Tx) error {
		found, err := tx.QueryContext(ctx, "SELECT id, name, key, sealed FROM documents WHERE kind = ? ORDER BY id", c.kind)
		if err != nil {
			return err
		}
		defer func() { _ = found.Close() }() // its error is that of Err below
		for found.Next() {
			var id int64
			var name string
			var key, sealed []byte
			if err := found.Scan(&id, &name, &key, &sealed); err != nil {
				return err
			}
			if !bytes.Equal(key, c.db.sealer.id) {
				continue
			}
			value, err := c.open(id, name, sealed)
			if err != nil {
				return err
			}
			out[name] = value
		}
		return found.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("loading %ss: %w", c.kind, err)
	}
	return out, nil
}

// Delete forgets a document. An unknown one is no error.
func (c Documents) Delete(ctx context.Context, name string) error {
	err := c.db.free(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM documents WHERE kind = ? AND name = ?", c.kind, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting %s %s: %w", c.kind, name, err)
	}
	return nil
}
