package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"apocryph/provider"
)

// releaseCell is the plain value of releases.sealed. The revision ties it to its
// record: one of another revision cannot be put beside it.
type releaseCell struct {
	Revision uint64   `json:"revision"`
	Number   int64    `json:"number"`
	AtMillis int64    `json:"at"`
	Claims   [32]byte `json:"claims"`
	Salt     [32]byte `json:"salt"`
}

func (d *DB) writeRelease(ctx context.Context, tx *sql.Tx, id int64, r provider.Record) error {
	if r.Release == nil {
		_, err := tx.ExecContext(ctx, "DELETE FROM releases WHERE pod = ?", id)
		return err
	}
	plain, err := json.Marshal(releaseCell{r.Revision, r.Release.Number, r.Release.At.UnixMilli(), r.Release.Claims, r.Release.Salt})
	if err != nil {
		return fmt.Errorf("encoding a release: %w", err)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO releases VALUES (?, ?) ON CONFLICT (pod) DO UPDATE SET sealed = excluded.sealed",
		id, d.sealer.seal(cell("releases", "sealed", id), plain))
	return err
}

// readRelease completes a record with its release, nil where there is none.
func (d *DB) readRelease(ctx context.Context, tx *sql.Tx, id int64, r *provider.Record) error {
	var sealed []byte
	err := tx.QueryRowContext(ctx, "SELECT sealed FROM releases WHERE pod = ?", id).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	plain, err := d.sealer.open(cell("releases", "sealed", id), sealed)
	if err != nil {
		return d.tampered(fmt.Sprintf("row %d of releases", id))
	}
	var c releaseCell
	if err := json.Unmarshal(plain, &c); err != nil {
		return d.corrupt(fmt.Errorf("decoding a release: %w", err))
	}
	if c.Revision != r.Revision {
		return d.tampered(fmt.Sprintf("row %d of releases is of another revision than its pod", id))
	}
	r.Release = &provider.KeyRelease{Number: c.Number, At: time.UnixMilli(c.AtMillis).UTC(), Claims: c.Claims, Salt: c.Salt}
	return nil
}
