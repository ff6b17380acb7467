package measure

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"apocryph/proto/status"
)

// file is what a disk needs of an [os.File].
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// disk is a file that grows by whole frames. After a write that failed the file
// ends where it ended before.
type disk struct {
	f    file
	size int64
	// broken is set when the file could not be put back: nothing is written then.
	broken error
}

// append adds a frame; with durable it is on the disk when append returns.
func (d *disk) append(frame []byte, durable bool) error {
	if d.broken != nil {
		return d.broken
	}
	_, err := d.f.WriteAt(frame, d.size)
	if err == nil && durable {
		err = d.f.Sync()
	}
	if err == nil {
		d.size += int64(len(frame))
		return nil
	}
	if cutErr := d.f.Truncate(d.size); cutErr != nil {
		d.broken = unwritable(errors.Join(err, cutErr))
		return d.broken
	}
	return unwritable(err)
}

// cut drops everything after size bytes.
func (d *disk) cut(size int64) error {
	if err := errors.Join(d.f.Truncate(size), d.f.Sync()); err != nil {
		return unwritable(err)
	}
	d.size = size
	return nil
}

func unwritable(cause error) error {
	return status.Wrap(cause, status.Unavailable, "podlog.disk", "the pod log cannot be written").
		WithHint("is the disk of the data directory full or read-only?")
}

// replace puts a whole file in its place in one step.
func replace(path string, content []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return unwritable(err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return unwritable(err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readAll reads a file that must not have more than most bytes: its owner could
// make it larger than memory.
func readAll(f *os.File, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return b, err
}
