package artifacts

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"golang.org/x/sys/unix"
)

// prologue is at the start of each segment's plaintext: the artifact's ID and
// the segment's tag, so that a file that was moved or put back is noticed.
const prologue = idSize + tagSize

// flushEvery is how many bytes are written before the kernel is asked to start
// bringing them to the disk, so that the last fsync has little left to do.
const flushEvery = 8 << 20

// seal writes a small file as a whole.
func (s *Store) seal(dir, name string, plain []byte) error {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, s.identity.Recipient())
	if err != nil {
		return fmt.Errorf("sealing %s: %w", name, err)
	}
	if _, err := w.Write(plain); err != nil {
		return fmt.Errorf("sealing %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("sealing %s: %w", name, err)
	}
	if err := s.disk.replace(dir, name, b.Bytes()); err != nil {
		return fmt.Errorf("writing %s: %w", name, classed(err))
	}
	return nil
}

// unseal reads a small file; the limit is on its plaintext, in bytes.
func (s *Store) unseal(path string, limit int) ([]byte, error) {
	f, err := s.disk.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := age.Decrypt(f, s.identity)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return b, err
}

func (s *Store) saveState(id string, st *state) error {
	st.touched = s.now()
	return s.seal(id, stateName, st.encode())
}

// loadState returns fs.ErrNotExist where no upload was begun.
func (s *Store) loadState(id string) (*state, error) {
	b, err := s.unseal(id+"/"+stateName, maxState)
	if err != nil {
		return nil, fmt.Errorf("reading the state of artifact %s: %w", id, err)
	}
	st, err := decodeState(b)
	if err == nil && st.id != rawID(id) {
		err = errors.New("it belongs to another artifact")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of artifact %s: %w", id, err)
	}
	return st, nil
}

// segmentWriter encrypts one segment into its file.
type segmentWriter struct {
	segment
	store *Store
	path  string
	file  *os.File
	age   io.WriteCloser
	// written and flushed count bytes of the file.
	written, flushed int64
}

func (s *Store) newSegment(id string, offset int64) (*segmentWriter, error) {
	w := &segmentWriter{segment: segment{offset: offset}, store: s}
	rand.Read(w.tag[:])
	w.path = id + "/" + w.name()
	if err := s.disk.mkdir(id); err != nil {
		return nil, err
	}
	f, err := s.disk.create(w.path)
	if err != nil {
		return nil, err
	}
	w.file = f
	raw := rawID(id)
	w.age, err = age.Encrypt((*rawWriter)(w), s.identity.Recipient())
	if err == nil {
		_, err = w.age.Write(append(raw[:], w.tag[:]...))
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// Write adds plaintext.
func (w *segmentWriter) Write(p []byte) (int, error) {
	n, err := w.age.Write(p)
	w.size += int64(n)
	return n, err
}

// finish makes the segment durable. It exists once a state lists it.
func (w *segmentWriter) finish() error {
	if err := w.age.Close(); err != nil {
		return err
	}
	if err := w.store.disk.sync(w.file, w.path); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	return w.store.disk.syncDir(w.path[:strings.IndexByte(w.path, '/')])
}

// close gives up the file, which stays for the caller to remove.
func (w *segmentWriter) close() { _ = w.file.Close() }

// rawWriter is the file below the encryption.
type rawWriter segmentWriter

func (w *rawWriter) Write(p []byte) (int, error) {
	if err := w.store.disk.step("write", w.path); err != nil {
		return 0, err
	}
	n, err := w.file.Write(p)
	w.written += int64(n)
	if err == nil && w.written-w.flushed >= flushEvery {
		// Only a hint; a file system that does not know it does the work in fsync.
		_ = unix.SyncFileRange(int(w.file.Fd()), w.flushed, w.written-w.flushed, unix.SYNC_FILE_RANGE_WRITE)
		w.flushed = w.written
	}
	return n, err
}

// rawID is the UUID's 16 bytes.
func rawID(id string) (raw [idSize]byte) {
	b, _ := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	copy(raw[:], b)
	return raw
}
