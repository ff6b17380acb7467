package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"apocryph/provider"
)

// Load returns every record, oldest pod first; times are UTC. One that another
// data key sealed comes locked, without its secrets. A record that its data key
// no longer vouches for is untrusted, "store.tampered", and nothing is
// returned: half a machine would look like deleted pods.
func (d *DB) Load(ctx context.Context) ([]provider.Record, error) {
	records, err := d.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading pods: %w", err)
	}
	return records, nil
}

func (d *DB) load(ctx context.Context) ([]provider.Record, error) {
	var records []provider.Record
	err := d.transact(ctx, func(tx *sql.Tx) error {
		rows, err := readPods(ctx, tx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := readChildren(ctx, tx, &row); err != nil {
				return err
			}
			record, err := d.unseal(row)
			if err != nil {
				return err
			}
			if record.Locked {
				records = append(records, record)
				continue
			}
			if err := d.readRelease(ctx, tx, row.id, &record); err != nil {
				return err
			}
			records = append(records, record)
		}
		return nil
	})
	return records, err
}

// row is a pod as it is on disk.
type row struct {
	id        int64
	record    provider.Record
	requestID []byte
	digest    []byte
	sealed    [len(secretColumns)][]byte
	tag, key  []byte
}

func readPods(ctx context.Context, tx *sql.Tx) (rows []row, err error) {
	found, err := tx.QueryContext(ctx, `SELECT id, pod, publisher, name, revision, state, reason, request_id,
		manifest_digest, manifest, keys, secrets, confirm, offer_id, payment_scheme, created_ns, updated_ns, tag, key, policy_version
		FROM pods ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }() // its error is that of Err below
	for found.Next() {
		var r row
		var revision, created, updated int64
		err := found.Scan(&r.id, &r.record.ID, &r.record.Publisher, &r.record.Name, &revision, &r.record.State,
			&r.record.Reason, &r.requestID, &r.digest, &r.sealed[0], &r.sealed[1], &r.sealed[2], &r.sealed[3],
			&r.record.OfferID, &r.record.PaymentScheme, &created, &updated, &r.tag, &r.key, &r.record.PolicyVersion)
		if err != nil {
			return nil, err
		}
		r.record.Revision = uint64(revision)
		r.record.Created, r.record.Updated = fromNanos(created), fromNanos(updated)
		rows = append(rows, r)
	}
	return rows, found.Err()
}

func readChildren(ctx context.Context, tx *sql.Tx, r *row) error {
	found, err := tx.QueryContext(ctx, `SELECT container, target, port, protocol, host, url, dial, host_ip
		FROM endpoints WHERE pod = ? ORDER BY position`, r.id)
	if err != nil {
		return err
	}
	defer func() { _ = found.Close() }() // its error is that of Err below
	for found.Next() {
		var e provider.Endpoint
		if err := found.Scan(&e.Container, &e.Target, &e.Port, &e.Protocol, &e.Host, &e.URL, &e.Dial, &e.HostIP); err != nil {
			return err
		}
		r.record.Endpoints = append(r.record.Endpoints, e)
	}
	if err := found.Err(); err != nil {
		return err
	}
	old, err := tx.QueryContext(ctx, "SELECT instance FROM obsolete WHERE pod = ? ORDER BY position", r.id)
	if err != nil {
		return err
	}
	defer func() { _ = old.Close() }() // its error is that of Err below
	for old.Next() {
		var id provider.InstanceID
		if err := old.Scan(&id); err != nil {
			return err
		}
		r.record.Obsolete = append(r.record.Obsolete, id)
	}
	return old.Err()
}

// unseal checks a row's tag and opens its secret cells.
func (d *DB) unseal(r row) (provider.Record, error) {
	out := r.record
	if len(r.digest) != len(out.ManifestDigest) || len(r.requestID) != len(out.RequestID) {
		return out, d.tampered(fmt.Sprintf("row %d of pods has a digest or request id of another size", r.id))
	}
	copy(out.ManifestDigest[:], r.digest)
	copy(out.RequestID[:], r.requestID)
	if !bytes.Equal(r.key, d.sealer.id) {
		if out.ID != provider.PodIDOf(out.Publisher, out.Name) {
			return out, d.tampered(fmt.Sprintf("row %d of pods, whose key is not here, is of another publisher or name", r.id))
		}
		out.Locked = true
		return out, nil
	}
	if !d.vouches(r.id, out, r.sealed, r.tag) {
		return out, d.tampered(fmt.Sprintf("row %d of pods", r.id))
	}
	var plain [len(secretColumns)][]byte
	for i, column := range secretColumns {
		var err error
		if plain[i], err = d.sealer.open(cell("pods", column, r.id), r.sealed[i]); err != nil {
			return out, d.tampered(fmt.Sprintf("row %d of pods, column %s", r.id, column))
		}
	}
	out.Manifest, out.Confirm = plain[0], plain[3]
	if err := json.Unmarshal(plain[1], &out.Keys); err != nil {
		return out, d.corrupt(fmt.Errorf("decoding keys: %w", err))
	}
	if err := json.Unmarshal(plain[2], &out.Secrets); err != nil {
		return out, d.corrupt(fmt.Errorf("decoding secrets: %w", err))
	}
	return out, nil
}
