package content

import (
	"context"
	"errors"
	"os"
	"sync"
)

// handle is one reader's hold on a fetch.
type handle struct {
	f       *fetch
	stop    func() bool
	release func()
	// left and err are guarded by f.mu.
	left    bool
	err     error
	closing sync.Once
}

// leave gives up the hold. Unless it is closed, a complete blob stays readable.
func (h *handle) leave(why error, closed bool) {
	f := h.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if (f.done && !closed) || h.left {
		return
	}
	h.left, h.err = true, why
	if f.refs--; f.refs == 0 {
		f.given = true
		f.cancel()
		if (f.done || f.err != nil) && f.file != nil {
			_ = f.file.Close() // reading only
		}
	}
	f.changed.Broadcast()
}

// Close implements [io.Closer].
func (h *handle) Close() error {
	h.stop()
	h.leave(os.ErrClosed, true)
	h.closing.Do(h.release)
	return nil
}

// wait implements blobSource.
func (h *handle) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { h.f.mu.Lock(); h.f.changed.Broadcast(); h.f.mu.Unlock() })
	defer stop()
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	for {
		if ready, err := h.ready(h.f.req.Size, h.f.req.Size); ready || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		h.f.changed.Wait()
	}
}

// ready reports whether [from, to) may be read. The end is there only once all
// of it is verified.
func (h *handle) ready(from, to int64) (bool, error) {
	f := h.f
	switch {
	case h.left:
		return false, h.err
	case f.done:
		return true, nil
	case f.err != nil:
		return false, f.err
	}
	return to < f.req.Size && f.have.covers(from, to), nil
}

// ReadAt implements [io.ReaderAt].
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read at a negative offset")
	}
	f := h.f
	from := min(off, f.req.Size)
	to := min(f.req.Size, from+int64(len(p)))
	f.mu.Lock()
	for {
		ready, err := h.ready(from, to)
		if err != nil {
			f.mu.Unlock()
			return 0, err
		}
		if ready {
			break
		}
		f.changed.Wait()
	}
	file := f.file
	f.mu.Unlock()
	return readUpTo(file, p, from, to)
}
