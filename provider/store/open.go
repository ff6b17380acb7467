package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
)

// pragmas are set whenever the driver connects, busy_timeout first and the
// others sorted by name. journal_mode is not among them: it changes the file,
// and is set when the file is known to be ours.
var pragmas = []string{
	"busy_timeout(2000)", // ms; a provider that is just ending still holds the lock
	"cell_size_check(ON)",
	"foreign_keys(ON)",
	"journal_size_limit(8388608)", // bytes; else one big transaction leaves a big log for good
	"locking_mode(EXCLUSIVE)",
	"synchronous(FULL)",
	"trusted_schema(OFF)",
}

// DB is an open store. Its methods may be called from any goroutine; writes
// are done one after the other.
type DB struct {
	sql    *sql.DB
	path   string
	sealer sealer
}

// Open opens the store at path, or makes it, readable by its owner only. key
// has [KeySize] bytes. The reasons of its errors are "store.key" (a key of
// another size), "store.newer" (written by a newer version), "store.locked"
// (another process has it open), "store.foreign" and "store.corrupt" (the file
// is another program's, or damaged; the text names it) and "store.disk_full".
// Rows of other keys are left alone. A nil log is silent.
func Open(ctx context.Context, path string, key []byte, log *slog.Logger) (*DB, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sealer, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	// Before SQLite opens the file, never after: closing any descriptor of a
	// file drops the process's POSIX locks on it.
	if err := prepareFile(path); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	query := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}, "_dqs": {"0"}}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	d := &DB{sql: db, path: path, sealer: sealer}
	if err := d.ready(ctx, log); err != nil {
		_ = db.Close() // the first error is the one that matters
		return nil, fmt.Errorf("opening store: %w", err)
	}
	d.reserve()
	return d, nil
}

// ready checks that the file is whole and ours, in that order, and only then
// brings it to the current version.
func (d *DB) ready(ctx context.Context, log *slog.Logger) error {
	var verdict string
	if err := d.sql.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return d.wrap(err)
	}
	if verdict != "ok" {
		return d.corrupt(fmt.Errorf("quick_check: %s", verdict))
	}
	version, err := d.version(ctx)
	if err != nil {
		return err
	}
	if _, err := d.sql.ExecContext(ctx, "PRAGMA journal_mode(WAL)"); err != nil {
		return d.wrap(err)
	}
	if err := d.migrate(ctx, version, log); err != nil {
		return err
	}
	return d.claimRows(ctx)
}

// prepareFile makes the file with its mode, so that it is never there with
// another one; SQLite gives the write-ahead log the mode of the file.
func prepareFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if info.Mode().Perm() != 0o600 {
		if err := f.Chmod(0o600); err != nil {
			return err
		}
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}

// Close folds the log into the file and releases the lock.
func (d *DB) Close() error {
	if err := d.sql.Close(); err != nil {
		return fmt.Errorf("closing store: %w", d.wrap(err))
	}
	return nil
}
