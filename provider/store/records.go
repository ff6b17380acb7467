package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
)

// maxCellBytes bounds each secret column in bytes, against a publisher whose
// secrets fill the disk and the memory of every start.
const maxCellBytes = 32 << 20

// Save stores a record in place of the pod's earlier one. When it returns nil
// the record is on disk; after any error the earlier one is still there, whole.
// A full disk is resource_exhausted "store.disk_full". A second pod with the
// same publisher and name is a conflict "store.name". A locked record is
// refused: what another data key opens would be lost.
func (d *DB) Save(ctx context.Context, r provider.Record) error {
	if r.Locked {
		return fmt.Errorf("saving pod %s: its secrets are not known here and would be lost", r.ID)
	}
	secrets, err := secretCells(r)
	if err != nil {
		return fmt.Errorf("saving pod %s: %w", r.ID, err)
	}
	err = d.transact(ctx, func(tx *sql.Tx) error {
		var other string
		err := tx.QueryRowContext(ctx, "SELECT pod FROM pods WHERE publisher = ? AND name = ? AND pod <> ?",
			r.Publisher, r.Name, r.ID).Scan(&other)
		if err == nil {
			return status.New(status.Conflict, "store.name", "name %q is taken by pod %s", r.Name, other)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		id, err := rowID(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		if err := d.writePod(ctx, tx, id, r, secrets); err != nil {
			return err
		}
		if err := d.writeRelease(ctx, tx, id, r); err != nil {
			return err
		}
		return writeChildren(ctx, tx, id, r)
	})
	if err != nil {
		return fmt.Errorf("saving pod %s: %w", r.ID, err)
	}
	return nil
}

// Delete forgets a pod. An unknown one is no error.
func (d *DB) Delete(ctx context.Context, id provider.PodID) error {
	err := d.free(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM pods WHERE pod = ?", id)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting pod %s: %w", id, err)
	}
	return nil
}

// secretColumns are the sealed columns of pods, in the order of secretCells.
var secretColumns = [...]string{"manifest", "keys", "secrets", "confirm"}

// secretCells are the plain values of the sealed columns.
func secretCells(r provider.Record) ([len(secretColumns)][]byte, error) {
	var none [len(secretColumns)][]byte
	keys, err := json.Marshal(r.Keys)
	if err != nil {
		return none, fmt.Errorf("encoding keys: %w", err)
	}
	secrets, err := json.Marshal(r.Secrets)
	if err != nil {
		return none, fmt.Errorf("encoding secrets: %w", err)
	}
	cells := [...][]byte{r.Manifest, keys, secrets, r.Confirm}
	for i, c := range cells {
		if len(c) > maxCellBytes {
			return none, status.New(status.ResourceExhausted, "store.record_size", "%s of pod %s has %d bytes, want at most %d",
				secretColumns[i], r.ID, len(c), maxCellBytes)
		}
	}
	return cells, nil
}

// rowID is the row of a pod; 0 when it has none yet.
func rowID(ctx context.Context, tx *sql.Tx, pod provider.PodID) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx, "SELECT id FROM pods WHERE pod = ?", pod).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'pods'), 0) + 1").Scan(&id)
	}
	return id, err
}

func (d *DB) writePod(ctx context.Context, tx *sql.Tx, id int64, r provider.Record, secrets [len(secretColumns)][]byte) error {
	var sealed [len(secretColumns)][]byte
	for i, column := range secretColumns {
		sealed[i] = d.sealer.seal(cell("pods", column, id), secrets[i])
	}
	tag, err := d.tag(id, r, sealed)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO pods (id, pod, publisher, name, revision, state, reason, request_id, manifest_digest,
			manifest, keys, secrets, confirm, offer_id, payment_scheme, created_ns, updated_ns, tag, key, policy_version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET
			pod = excluded.pod, publisher = excluded.publisher, name = excluded.name, revision = excluded.revision,
			state = excluded.state, reason = excluded.reason, request_id = excluded.request_id,
			manifest_digest = excluded.manifest_digest, manifest = excluded.manifest, keys = excluded.keys,
			secrets = excluded.secrets, confirm = excluded.confirm, offer_id = excluded.offer_id,
			payment_scheme = excluded.payment_scheme, created_ns = excluded.created_ns,
			updated_ns = excluded.updated_ns, tag = excluded.tag, key = excluded.key, policy_version = excluded.policy_version`,
		id, r.ID, r.Publisher, r.Name, int64(r.Revision), r.State, r.Reason, r.RequestID[:], r.ManifestDigest[:],
		sealed[0], sealed[1], sealed[2], sealed[3], r.OfferID, r.PaymentScheme, toNanos(r.Created), toNanos(r.Updated), tag, d.sealer.id, r.PolicyVersion)
	return err
}

func writeChildren(ctx context.Context, tx *sql.Tx, id int64, r provider.Record) error {
	for _, table := range [...]string{"endpoints", "obsolete"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE pod = ?", id); err != nil {
			return err
		}
	}
	for i, e := range r.Endpoints {
		_, err := tx.ExecContext(ctx, "INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			id, i, e.Container, e.Target, e.Port, e.Protocol, e.Host, e.URL, e.Dial, e.HostIP)
		if err != nil {
			return err
		}
	}
	for i, instance := range r.Obsolete {
		if _, err := tx.ExecContext(ctx, "INSERT INTO obsolete VALUES (?, ?, ?)", id, i, instance); err != nil {
			return err
		}
	}
	return nil
}

// toNanos is Unix nanoseconds, 0 for the zero time.
func toNanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
