package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"apocryph/proto/status"
)

//go:embed migrations/*.sql
var migrationFS embed.FS

// applicationID marks the file as ours ("Apoc", offset 68 of the header).
const applicationID = 0x41706f63

// checkText is what the sealed check value holds, under the name "check".
const checkText = "apocryph/store"

// migrations returns the scripts in order; the position plus one is the version.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFS, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	scripts := make([]string, len(names))
	for i, name := range names {
		b, err := migrationFS.ReadFile(name)
		if err != nil {
			return nil, err
		}
		scripts[i] = string(b)
	}
	return scripts, nil
}

// version is the schema version of the file, 0 for an empty one.
func (d *DB) version(ctx context.Context) (int, error) {
	var app, version, objects int
	err := errors.Join(
		d.sql.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app),
		d.sql.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version),
		d.sql.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects),
	)
	if err != nil {
		return 0, d.wrap(err)
	}
	if app != applicationID && (app != 0 || version != 0 || objects != 0) {
		return 0, status.New(status.InvalidArgument, "store.foreign", "%s is a database of another program", d.path).
			WithHint("move it away, or give the provider another data dir")
	}
	return version, nil
}

// claimRows names this key in rows of the first version, which name none, if
// the check value says that they are its.
func (d *DB) claimRows(ctx context.Context) error {
	return d.transact(ctx, func(tx *sql.Tx) error {
		var id int64
		var sealed []byte
		err := tx.QueryRowContext(ctx, "SELECT id, value FROM meta WHERE name = 'check'").Scan(&id, &sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return d.corrupt(errors.New("no check value"))
		}
		if err != nil {
			return err
		}
		plain, err := d.sealer.open(cell("meta", "value", id), sealed)
		if err != nil || !bytes.Equal(plain, []byte(checkText)) {
			return nil
		}
		_, err = tx.ExecContext(ctx, "UPDATE pods SET key = ? WHERE key = x''", d.sealer.id)
		return err
	})
}

// migrate runs what is missing, each script in a transaction with its number.
func (d *DB) migrate(ctx context.Context, version int, log *slog.Logger) error {
	scripts, err := migrations()
	if err != nil {
		return err
	}
	if version > len(scripts) {
		return status.New(status.InvalidArgument, "store.newer", "store %s has version %d, this provider knows up to %d", d.path, version, len(scripts)).
			WithHint("run the newer provider again, or give this one another data dir")
	}
	for i := version; i < len(scripts); i++ {
		err := d.transact(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, scripts[i]); err != nil {
				return err
			}
			if i == 0 {
				if err := d.writeCheck(ctx, tx); err != nil {
					return err
				}
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, i+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("migrating to version %d: %w", i+1, err)
		}
		log.InfoContext(ctx, "store migrated", "path", d.path, "version", i+1)
	}
	return nil
}

func (d *DB) writeCheck(ctx context.Context, tx *sql.Tx) error {
	const id = 1
	_, err := tx.ExecContext(ctx, "INSERT INTO meta (id, name, value) VALUES (?, 'check', ?)",
		id, d.sealer.seal(cell("meta", "value", id), []byte(checkText)))
	return err
}

// transact commits what fn did, or nothing.
func (d *DB) transact(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := d.sql.BeginTx(ctx, nil)
	if err != nil {
		return d.wrap(err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that matters
		return d.wrap(err)
	}
	return d.wrap(tx.Commit())
}
