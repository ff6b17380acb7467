package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

var _ provider.History = (*DB)(nil)

// pastCell is the plain value of revisions.sealed. Pod and revision tie it to its
// row: one of another pod or revision cannot be put there.
type pastCell struct {
	Pod      provider.PodID               `json:"pod"`
	Revision uint64                       `json:"revision"`
	Digest   []byte                       `json:"digest"`
	Manifest []byte                       `json:"manifest,omitempty"`
	Keys     map[string][]byte            `json:"keys,omitempty"`
	Secrets  map[string]map[string][]byte `json:"secrets,omitempty"`
	Release  *releaseCell                 `json:"release,omitempty"`
	Source   []byte                       `json:"source,omitempty"`
	From     uint64                       `json:"from,omitempty"`
	Replaces uint64                       `json:"replaces,omitempty"`
	Outcome  provider.Outcome             `json:"outcome"`
	Reason   string                       `json:"reason,omitempty"`
	Log      []string                     `json:"log,omitempty"`
	AtNanos  int64                        `json:"at"`
}

// SavePast stores a revision of a pod that has a record, in place of what was
// stored of it before. A pod without record is not_found "store.pod". Errors are
// else those of [DB.Save].
func (d *DB) SavePast(ctx context.Context, r provider.Past) error {
	plain, err := encodePast(r)
	if err != nil {
		return fmt.Errorf("saving revision %d of pod %s: %w", r.Revision, r.Pod, err)
	}
	err = d.transact(ctx, func(tx *sql.Tx) error {
		var pod int64
		err := tx.QueryRowContext(ctx, "SELECT id FROM pods WHERE pod = ?", r.Pod).Scan(&pod)
		if errors.Is(err, sql.ErrNoRows) {
			return status.New(status.NotFound, "store.pod", "pod %s has no record", r.Pod)
		}
		if err != nil {
			return err
		}
		var id int64
		err = tx.QueryRowContext(ctx, "SELECT id FROM revisions WHERE pod = ? AND revision = ?", pod, int64(r.Revision)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			err = tx.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'revisions'), 0) + 1").Scan(&id)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO revisions (id, pod, revision, key, sealed) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET key = excluded.key, sealed = excluded.sealed`,
			id, pod, int64(r.Revision), d.sealer.id, d.sealer.seal(cell("revisions", "sealed", id), plain))
		return err
	})
	if err != nil {
		return fmt.Errorf("saving revision %d of pod %s: %w", r.Revision, r.Pod, err)
	}
	return nil
}

func encodePast(r provider.Past) ([]byte, error) {
	c := pastCell{
		Pod: r.Pod, Revision: r.Revision, Digest: r.ManifestDigest[:], Manifest: r.Manifest, Keys: r.Keys, Secrets: r.Secrets,
		Source: r.Source, From: r.From, Replaces: r.Replaces, Outcome: r.Outcome, Reason: r.Reason, Log: r.Log, AtNanos: toNanos(r.At),
	}
	if k := r.Release; k != nil {
		c.Release = &releaseCell{r.Revision, k.Number, k.At.UnixMilli(), k.Claims, k.Salt}
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if len(plain) > 2*maxCellBytes {
		return nil, status.New(status.ResourceExhausted, "store.record_size", "it has %d bytes, want at most %d", len(plain), 2*maxCellBytes)
	}
	return plain, nil
}

// Pasts returns a pod's revisions, oldest first, those of another data key left
// out. An unknown pod has none. A row that its data key does not vouch for is
// untrusted, "store.tampered".
func (d *DB) Pasts(ctx context.Context, pod provider.PodID) (out []provider.Past, err error) {
	err = d.transact(ctx, func(tx *sql.Tx) error {
		found, err := tx.QueryContext(ctx, `SELECT r.id, r.revision, r.key, r.sealed FROM revisions r JOIN pods p ON p.id = r.pod
			WHERE p.pod = ? ORDER BY r.revision`, pod)
		if err != nil {
			return err
		}
		defer func() { _ = found.Close() }() // its error is that of Err below
		for found.Next() {
			var id, revision int64
			var key, sealed []byte
			if err := found.Scan(&id, &revision, &key, &sealed); err != nil {
				return err
			}
			if !bytes.Equal(key, d.sealer.id) {
				continue
			}
			r, err := d.openPast(id, pod, uint64(revision), sealed)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return found.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("loading revisions of pod %s: %w", pod, err)
	}
	return out, nil
}

func (d *DB) openPast(id int64, pod provider.PodID, revision uint64, sealed []byte) (provider.Past, error) {
	row := fmt.Sprintf("row %d of revisions", id)
	plain, err := d.sealer.open(cell("revisions", "sealed", id), sealed)
	if err != nil {
		return provider.Past{}, d.tampered(row)
	}
	var c pastCell
	if err := json.Unmarshal(plain, &c); err != nil {
		return provider.Past{}, d.corrupt(fmt.Errorf("decoding a revision: %w", err))
	}
	if c.Pod != pod || c.Revision != revision || len(c.Digest) != len(manifest.Digest{}) {
		return provider.Past{}, d.tampered(row + " is of another pod or revision")
	}
	r := provider.Past{
		Pod: pod, Revision: revision, ManifestDigest: manifest.Digest(c.Digest), Manifest: c.Manifest, Keys: c.Keys, Secrets: c.Secrets,
		Source: c.Source, From: c.From, Replaces: c.Replaces, Outcome: c.Outcome, Reason: c.Reason, Log: c.Log, At: fromNanos(c.AtNanos),
	}
	if k := c.Release; k != nil {
		r.Release = &provider.KeyRelease{Number: k.Number, At: time.UnixMilli(k.AtMillis).UTC(), Claims: k.Claims, Salt: k.Salt}
	}
	return r, nil
}

// DropPast forgets a revision. An unknown one is no error.
func (d *DB) DropPast(ctx context.Context, pod provider.PodID, revision uint64) error {
	err := d.free(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM revisions WHERE revision = ? AND pod = (SELECT id FROM pods WHERE pod = ?)", int64(revision), pod)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting revision %d of pod %s: %w", revision, pod, err)
	}
	return nil
}
