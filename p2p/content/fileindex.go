package content

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// file is an ordinary file whose raw leaves are served from it.
type file struct {
	node    cid.Cid
	path    string
	size    int64
	modTime time.Time
	digest  string
	// added is when it was hashed.
	added time.Time
	// hashed is what the file was when all of it was hashed, nil where that is not
	// known for sure. While it is the same, its leaves are sent to who verifies them
	// without being hashed once more.
	hashed os.FileInfo
}

// fileRecord is the durable form of file, Dir/files/CID.json. Path is relative
// to Dir where it is below it, so that a data directory can be moved.
type fileRecord struct {
	CID     string    `json:"cid"`
	Path    string    `json:"path"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mod_time"`
	Digest  string    `json:"digest"`
	Added   time.Time `json:"added"`
}

type leafRef struct {
	file *file
	off  int64
	size int64
}

// fileIndex finds the place of a raw leaf: about 100 bytes of memory for 1 MiB
// of content.
type fileIndex struct {
	// edit orders changes of records and index; mu guards the maps alone.
	edit     sync.Mutex
	mu       sync.RWMutex
	leaves   map[key]leafRef
	byCID    map[cid.Cid]*file
	byDigest map[string]*file
	byPath   map[string]*file
}

func (x *fileIndex) leaf(k key) (leafRef, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.leaves[k]
	return r, ok
}

func (x *fileIndex) find(c cid.Cid) (*file, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	f, ok := x.byCID[c]
	return f, ok
}

// around finds the file that a CID is, or is a leaf of.
func (x *fileIndex) around(c cid.Cid) (*file, bool) {
	if f, ok := x.find(c); ok {
		return f, true
	}
	k, ok := keyOf(c)
	if !ok {
		return nil, false
	}
	r, ok := x.leaf(k)
	return r.file, ok
}

// loadFiles rebuilds the index. A file that is gone or changed, or whose inner
// nodes are gone, loses its record: content that is still needed is fetched or
// added again.
func (s *Store) loadFiles(ctx context.Context) error {
	s.files = &fileIndex{
		leaves: map[key]leafRef{}, byCID: map[cid.Cid]*file{}, byDigest: map[string]*file{}, byPath: map[string]*file{},
	}
	recs, err := readRecords[fileRecord](s.path("files"))
	if err != nil {
		return err
	}
	for name, r := range recs {
		c, err := cid.Decode(r.CID)
		f := &file{node: c, path: r.Path, size: r.Size, modTime: r.ModTime, digest: r.Digest, added: r.Added}
		if !filepath.IsAbs(f.path) {
			f.path = s.path(f.path)
		}
		var st os.FileInfo
		if err == nil {
			st, err = f.stat()
		}
		if rel, relErr := filepath.Rel(s.cfg.Dir, f.path); relErr == nil && filepath.IsLocal(rel) && f.added.Sub(f.modTime) >= racyTime {
			f.hashed = st // nobody else writes to our own directory
		}
		if err == nil {
			err = s.index(ctx, f)
		}
		if err == nil {
			continue
		}
		s.log.Warn("dropped a file from the content store", "path", f.path, "reason", err)
		if err := removeRecord(s.path("files/" + name + recordExt)); err != nil {
			return err
		}
	}
	return nil
}

// stat checks that the file is the one that was hashed, as far as its size and
// time can tell. Its leaves are hashed anyway when they are served.
func (f *file) stat() (os.FileInfo, error) {
	st, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() != f.size || !st.ModTime().Equal(f.modTime) {
		return nil, errors.New("file was changed")
	}
	return st, nil
}

// index enters a file whose inner nodes are in the block store.
func (s *Store) index(ctx context.Context, f *file) error {
	refs := make(map[key]leafRef, f.size/ChunkSize+1)
	err := s.walkFile(ctx, child{cid: f.node, size: f.size}, func(c child, off int64) error {
		k, _ := keyOf(c.cid)
		refs[k] = leafRef{f, off, c.size}
		return nil
	})
	if err != nil {
		return err
	}
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	for k, r := range refs {
		s.files.leaves[k] = r
	}
	s.files.byCID[f.node] = f
	s.files.byPath[f.path] = f
	if f.digest != "" {
		s.files.byDigest[f.digest] = f
	}
	return nil
}

// enter makes a file's record durable and indexes it.
func (s *Store) enter(ctx context.Context, f *file) error {
	s.files.edit.Lock()
	defer s.files.edit.Unlock()
	path := f.path
	if rel, err := filepath.Rel(s.cfg.Dir, path); err == nil && filepath.IsLocal(rel) {
		path = rel
	}
	err := writeRecord(s.path("files/"+f.node.String()+recordExt), fileRecord{
		CID: f.node.String(), Path: path, Size: f.size, ModTime: f.modTime, Digest: f.digest, Added: f.added,
	})
	if err != nil {
		return err
	}
	return s.index(ctx, f)
}

// distrust makes the leaves of a file be hashed before they are sent.
func (s *Store) distrust(ctx context.Context, f *file) {
	s.files.edit.Lock()
	defer s.files.edit.Unlock()
	if now, ok := s.files.find(f.node); !ok || now != f || f.hashed == nil {
		return
	}
	again := *f
	again.hashed = nil
	if err := s.index(ctx, &again); err != nil {
		s.log.Debug("indexing a file again", "path", f.path, "error", err)
	}
}

// drop forgets a file. Leaves that it shared with others are found there again.
func (s *Store) drop(ctx context.Context, f *file, reason error) {
	x := s.files
	x.edit.Lock()
	defer x.edit.Unlock()
	x.mu.Lock()
	if x.byCID[f.node] != f {
		x.mu.Unlock()
		return
	}
	delete(x.byCID, f.node)
	if x.byDigest[f.digest] == f {
		delete(x.byDigest, f.digest)
	}
	if x.byPath[f.path] == f {
		delete(x.byPath, f.path)
	}
	for k, r := range x.leaves {
		if r.file == f {
			delete(x.leaves, k)
		}
	}
	others := make([]*file, 0, len(x.byCID))
	for _, o := range x.byCID {
		others = append(others, o)
	}
	x.mu.Unlock()
	if reason != nil {
		s.log.Warn("dropped a file from the content store", "path", f.path, "reason", reason)
	}
	if err := removeRecord(s.path("files/" + f.node.String() + recordExt)); err != nil {
		s.log.Error("cannot remove the record of a file", "path", f.path, "error", err)
	}
	for _, o := range others {
		if err := s.index(ctx, o); err != nil {
			s.log.Warn("cannot index a file", "path", o.path, "error", err)
		}
	}
}

// readLeaf reads a leaf into buf, which is as long as the leaf, and verifies
// it. Where the file no longer has it, the file is dropped. For a reader that
// verifies it anyway, a leaf is not hashed again while the file is the one that
// this process hashed, by inode, size and time.
func (s *Store) readLeaf(ctx context.Context, r leafRef, want key, buf []byte, verified bool) error {
	same, err := r.read(buf)
	if err == nil && !(same && verified) && sha256.Sum256(buf) != want {
		err = errors.New("file was changed")
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, os.ErrPermission) && !errors.Is(err, syscall.EMFILE) {
		s.drop(ctx, r.file, err)
	}
	return status.Wrap(err, status.NotFound, "content.changed", "the file that held this content is gone or changed").
		WithHint("add the file again")
}

func (r leafRef) read(buf []byte) (same bool, err error) {
	f, err := os.Open(r.file.path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if was := r.file.hashed; was != nil {
		st, err := f.Stat()
		if err != nil {
			return false, err
		}
		same = os.SameFile(was, st) && was.Size() == st.Size() && was.ModTime().Equal(st.ModTime())
	}
	if _, err := f.ReadAt(buf, r.off); err != nil && (err != io.EOF || len(buf) > 0) {
		if err == io.EOF {
			return false, errors.New("file was cut short")
		}
		return false, err
	}
	return same, nil
}
