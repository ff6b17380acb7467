package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"

	"apocryph/proto/status"
)

// reserveBytes is held on the disk beside the store, so that a pod can be deleted
// where others have filled it: deleting writes to the log before anything is freed.
const reserveBytes = 256 << 10

func (d *DB) reservePath() string { return d.path + "-reserve" }

// reserve takes the room again. A disk that has none at the moment is no error.
func (d *DB) reserve() {
	if info, err := os.Stat(d.reservePath()); err == nil && info.Size() >= reserveBytes {
		return
	}
	// Zeros: a hole would reserve nothing.
	if err := os.WriteFile(d.reservePath(), make([]byte, reserveBytes), 0o600); err != nil {
		_ = os.Remove(d.reservePath()) // half a reserve is given back
	}
}

// free is transact for what frees room: on a full disk it uses up the reserve.
func (d *DB) free(ctx context.Context, fn func(*sql.Tx) error) error {
	err := d.transact(ctx, fn)
	if status.ReasonOf(err) != "store.disk_full" {
		return err
	}
	if gone := os.Remove(d.reservePath()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		return err
	}
	return d.transact(ctx, fn)
}
