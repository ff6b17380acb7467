package containerd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// maxJoined bounds a line that is put together from pieces, in bytes; a longer
// one is handed out in several.
const maxJoined = 256 << 10

// logReader reads the files of one container's log, oldest first, and goes on
// where it was when there is more.
type logReader struct {
	container, path string
	// head is the next line, nil when none is here.
	head *provider.LogLine

	f    *os.File
	raw  []byte
	open map[string]*provider.LogLine
}

// fill sets head if there is a line.
func (l *logReader) fill() error {
	for l.head == nil {
		if l.f == nil {
			if err := l.next(); err != nil || l.f == nil {
				return err
			}
		}
		if i := bytes.IndexByte(l.raw, '\n'); i >= 0 {
			l.take(l.raw[:i])
			l.raw = l.raw[i+1:]
			continue
		}
		// Asked before the last look into the file: the writer is done with a
		// file when another has its name.
		done, err := l.rotated()
		if err != nil {
			return err
		}
		n, err := l.read()
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if !done {
			return nil
		}
		if err := l.next(); err != nil {
			return err
		}
	}
	return nil
}

// read appends some of the file to raw.
func (l *logReader) read() (int, error) {
	if len(l.raw) > 2*attendant.MaxLine {
		// No line is as long: this is not a log file any more.
		l.raw = nil
	}
	buf := make([]byte, 64<<10)
	n, err := l.f.Read(buf)
	l.raw = append(l.raw[:len(l.raw):len(l.raw)], buf[:n]...)
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("reading the log of %q: %w", l.container, err)
	}
	return n, nil
}

// take joins an entry to what it continues.
func (l *logReader) take(line []byte) {
	e, ok := attendant.ParseEntry(line)
	if !ok {
		return
	}
	if l.open == nil {
		l.open = map[string]*provider.LogLine{}
	}
	out := l.open[e.Stream]
	if out == nil {
		out = &provider.LogLine{Container: l.container, Time: e.At, Stream: e.Stream}
		l.open[e.Stream] = out
	}
	out.Text = append(out.Text, e.Text...)
	if e.Partial && len(out.Text) < maxJoined {
		return
	}
	delete(l.open, e.Stream)
	l.head = out
}

// rotated tells whether the open file has been moved aside.
func (l *logReader) rotated() (bool, error) {
	i, err := l.index()
	return i != 0, err
}

// index is the place of the open file in the rotation, or attendant.LogFiles when it has
// fallen out.
func (l *logReader) index() (int, error) {
	own, err := l.f.Stat()
	if err != nil {
		return 0, err
	}
	for i := range attendant.LogFiles {
		st, err := os.Stat(attendant.RotatedName(l.path, i))
		if err == nil && os.SameFile(own, st) {
			return i, nil
		}
	}
	return attendant.LogFiles, nil
}

// next opens the file after the open one, or the oldest. With none, f is nil.
func (l *logReader) next() error {
	i := attendant.LogFiles
	if l.f != nil {
		var err error
		if i, err = l.index(); err != nil {
			return err
		}
		l.close()
	}
	for i--; i >= 0; i-- {
		f, err := os.Open(attendant.RotatedName(l.path, i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("opening the log of %q: %w", l.container, err)
		}
		l.f, l.raw = f, nil
		return nil
	}
	return nil
}

func (l *logReader) close() {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}
