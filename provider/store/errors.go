package store

import (
	"context"
	"errors"

	"modernc.org/sqlite"

	"apocryph/proto/status"
)

// Primary result codes (sqlite.org/rescode.html); the low byte of what the
// driver returns.
const (
	codeBusy    = 5
	codeCorrupt = 11
	codeFull    = 13
	codeNotADB  = 26
)

// wrap gives an error of the driver its class. Its text is kept private: it
// may quote the schema.
func (d *DB) wrap(err error) error {
	var e *sqlite.Error
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case codeFull:
		return status.Wrap(err, status.ResourceExhausted, "store.disk_full", "no space left for %s", d.path).
			WithHint("free disk space; nothing of the earlier state was lost")
	case codeBusy:
		return status.Wrap(err, status.Unavailable, "store.locked", "%s is in use by another process", d.path).
			WithHint("stop the other provider, or give this one another data dir")
	case codeCorrupt, codeNotADB:
		return d.corrupt(err)
	}
	return status.Wrap(err, status.Internal, "store.io", "store %s does not work", d.path)
}

func (d *DB) corrupt(cause error) error {
	return status.Wrap(cause, status.Internal, "store.corrupt", "store %s is damaged", d.path).
		WithHint("restore %s from a copy, or move it away to start empty: running pods are then removed", d.path)
}

// tampered is what the key no longer vouches for.
func (d *DB) tampered(what string) error {
	return status.New(status.Untrusted, "store.tampered", "store %s was changed by something else: %s", d.path, what).
		WithHint("restore %s from a copy that only the provider wrote", d.path)
}
