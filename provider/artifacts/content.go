package artifacts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"sync"

	"filippo.io/age"

	"apocryph/proto/status"
)

const (
	// maxOpenParts bounds the files that one reader has open.
	maxOpenParts = 8
	// readAhead is what sequential reads decrypt at once, in bytes.
	readAhead = 128 << 10
)

// Open gives the bytes of a complete artifact; one that is not is conflict
// "artifact.not_uploaded". The content stays readable while the artifact is
// deleted. Each byte is authenticated when it is read; a file that was changed
// or exchanged is an error of the read.
func (s *Store) Open(_ context.Context, ns, id string) (Content, error) {
	s.mu.Lock()
	e, err := s.find(ns, id)
	if err == nil && !e.art.Complete {
		err = notUploaded(e)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	e.readers++
	a := e.art
	s.mu.Unlock()

	st, err := s.loadState(id)
	if err == nil && (!st.complete || st.length != a.Size || hex.EncodeToString(st.hash) != a.SHA256) {
		err = errors.New("the state on the disk is not that of the record")
	}
	if err != nil {
		return nil, errors.Join(damaged(err, id), s.read(e))
	}
	c := s.newContent(id, st)
	c.done = func() error { return s.read(e) }
	return c, nil
}

// read ends the use of an entry by one reader.
func (s *Store) read(e *entry) error {
	s.mu.Lock()
	e.readers--
	last := e.gone && e.readers == 0
	s.mu.Unlock()
	if last {
		return s.erase(e)
	}
	return nil
}

func damaged(cause error, id string) error {
	return status.Wrap(cause, status.Internal, "artifact.damaged", "the bytes of artifact %s cannot be read", id)
}

// content reads the segments of a state as one.
type content struct {
	s    *Store
	id   string
	st   *state
	done func() error

	// section and ahead are for Read and Seek.
	section *io.SectionReader
	ahead   *bufio.Reader

	mu     sync.Mutex
	closed bool
	parts  []*part
}

// part is one open segment. It is closed when it is not cached and not in use.
type part struct {
	index  int
	file   *os.File
	plain  io.ReaderAt
	users  int
	cached bool
}

func (s *Store) newContent(id string, st *state) *content {
	c := &content{s: s, id: id, st: st}
	c.section = io.NewSectionReader(c, 0, st.offset())
	return c
}

func (c *content) Size() int64 { return c.st.offset() }

func (c *content) Read(p []byte) (int, error) {
	if c.ahead == nil {
		c.ahead = bufio.NewReaderSize(c.section, readAhead)
	}
	return c.ahead.Read(p)
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent && c.ahead != nil {
		offset -= int64(c.ahead.Buffered())
	}
	n, err := c.section.Seek(offset, whence)
	if err == nil && c.ahead != nil {
		c.ahead.Reset(c.section)
	}
	return n, err
}

func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("a negative offset")
	}
	for n < len(p) {
		i := sort.Search(len(c.st.segments), func(i int) bool { return c.st.segments[i].end() > off })
		if i == len(c.st.segments) {
			return n, io.EOF
		}
		g := c.st.segments[i]
		at, err := c.use(i)
		if err != nil {
			return n, err
		}
		want := p[n:min(int64(len(p)), int64(n)+g.end()-off)]
		got, err := at.plain.ReadAt(want, off-g.offset+prologue)
		c.unuse(at)
		n, off = n+got, off+int64(got)
		if got < len(want) {
			return n, damaged(err, c.id)
		}
	}
	return n, nil
}

// Close may be called more than once.
func (c *content) Close() error {
	if !c.closeParts() {
		return nil
	}
	return c.done()
}

// closeParts reports whether it was the first to close.
func (c *content) closeParts() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	for len(c.parts) > 0 {
		c.evict()
	}
	return true
}

// evict is called with the lock held.
func (c *content) evict() {
	old := c.parts[0]
	c.parts = c.parts[1:]
	if old.cached = false; old.users == 0 {
		old.file.Close()
	}
}

// use opens a segment or takes one that is open.
func (c *content) use(i int) (*part, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fs.ErrClosed
	}
	for _, at := range c.parts {
		if at.index == i {
			at.users++
			return at, nil
		}
	}
	at, err := c.openPart(i)
	if err != nil {
		return nil, damaged(err, c.id)
	}
	if len(c.parts) == maxOpenParts {
		c.evict()
	}
	c.parts = append(c.parts, at)
	return at, nil
}

func (c *content) unuse(at *part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.users--; at.users == 0 && !at.cached {
		at.file.Close()
	}
}

// openPart checks that the file is the one that the state means: its length is
// authenticated by its last chunk, its identity by the prologue.
func (c *content) openPart(i int) (*part, error) {
	g := c.st.segments[i]
	f, err := c.s.disk.root.Open(c.id + "/" + g.name())
	if err != nil {
		return nil, err
	}
	plain, err := c.s.openSegment(f, c.st.id, g)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &part{index: i, file: f, plain: plain, users: 1, cached: true}, nil
}

func (s *Store) openSegment(f *os.File, id [idSize]byte, g segment) (io.ReaderAt, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	plain, size, err := age.DecryptReaderAt(f, info.Size(), s.identity)
	if err != nil {
		return nil, err
	}
	if size != g.size+prologue {
		return nil, fmt.Errorf("a segment of %d bytes, want %d", size-prologue, g.size)
	}
	head := make([]byte, prologue)
	if _, err := plain.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(head, append(id[:], g.tag[:]...)) {
		return nil, errors.New("a segment of another artifact")
	}
	return plain, nil
}
