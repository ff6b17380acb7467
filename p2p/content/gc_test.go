package content

import (
	"bytes"
	"os"
	"testing"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// later makes all that was added so far old.
func later(s *Store) { s.now = func() time.Time { return time.Now().Add(48 * time.Hour) } }

func TestGC(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	shared := randomBytes(1, 3*ChunkSize)
	kept := addBlob(t, s, shared)
	lost := addBlob(t, s, randomBytes(2, 2*ChunkSize))
	small, err := s.AddBytes(ctx, []byte("small"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.AddDirectory(ctx, []Entry{{"kept", kept}, {"lost", lost}, {"small", small}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.AddDirectory(ctx, []Entry{{"kept", kept}})
	if err != nil {
		t.Fatal(err)
	}
	for owner, root := range map[string]cid.Cid{"a": a.CID, "b": b.CID, "b2": b.CID} {
		if err := s.Pin(ctx, root, owner); err != nil {
			t.Fatal(err)
		}
	}
	stray := s.BlobPath(digestOf([]byte("stray")))
	write(t, stray, []byte("stray"))
	write(t, stray+partialExt, []byte("part"))

	freed, err := s.GC(ctx)
	if err != nil || freed != 0 || !exists(stray) {
		t.Errorf("fresh: %d bytes freed, %v", freed, err)
	}
	later(s)
	if freed, err = s.GC(ctx); err != nil || freed != int64(len("stray")+len("part")) || exists(stray) || exists(stray+partialExt) {
		t.Errorf("strays: %d bytes freed, %v", freed, err)
	}
	for _, owner := range []string{"a", "b", "nobody"} {
		if err := s.Unpin(ctx, owner); err != nil {
			t.Fatal(err)
		}
	}
	// Pins survive a restart.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = New(Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	later(s)
	if freed, err = s.GC(ctx); err != nil || freed < 2*ChunkSize {
		t.Errorf("unpinned: %d bytes freed, %v", freed, err)
	}
	if exists(s.BlobPath(lost.Digest)) || !exists(s.BlobPath(kept.Digest)) {
		t.Error("the wrong blob was removed")
	}
	if n := countBlocks(t, s); n != 2 { // b and the top of kept
		t.Errorf("%d blocks are left, want 2", n)
	}
	if got, err := s.ReadBytes(ctx, kept.CID, 1<<30); err != nil || !bytes.Equal(got, shared) {
		t.Errorf("reading what is pinned: %v", err)
	}
	_, err = s.List(ctx, a.CID)
	wantCode(t, err, status.NotFound)
	if err := s.Unpin(ctx, "b2"); err != nil {
		t.Fatal(err)
	}
	if _, err = s.GC(ctx); err != nil || countBlocks(t, s) != 0 || exists(s.BlobPath(kept.Digest)) {
		t.Errorf("something is left: %v", err)
	}
}

// Files outside of the blobs are the caller's: only their records go.
func TestGCLeavesForeignFiles(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, nil, func(c *Config) { c.Roots = []string{root} })
	write(t, root+"/f", randomBytes(1, ChunkSize))
	n, err := s.AddFile(t.Context(), root+"/f", nil)
	if err != nil {
		t.Fatal(err)
	}
	later(s)
	if _, err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !exists(root + "/f") {
		t.Error("a foreign file was removed")
	}
	_, err = s.Open(t.Context(), n.CID)
	wantCode(t, err, status.NotFound)
}

// A stranger's directory may link another's node as if it were a leaf. That
// must not hide what is below it.
func TestGCCodecConfusion(t *testing.T) {
	s := newStore(t, nil)
	n := addBlob(t, s, randomBytes(1, 2*ChunkSize))
	as := cid.NewCidV1(cid.Raw, n.CID.Hash())
	evil, err := s.AddDirectory(t.Context(), []Entry{{"x", Node{CID: as, Total: 10}}})
	if err != nil {
		t.Fatal(err)
	}
	for owner, c := range map[string]cid.Cid{"evil": evil.CID, "good": n.CID} {
		if err := s.Pin(t.Context(), c, owner); err != nil {
			t.Fatal(err)
		}
	}
	later(s)
	for range 20 { // the order of marking differs
		if _, err := s.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadBytes(t.Context(), n.CID, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGCDuringFetch(t *testing.T) {
	pub, prov := pair(t)
	b := randomBytes(3, 8*ChunkSize)
	root, n := addRoot(t, pub, b)
	grant(t, pub, root, id(prov))
	at, goon := make(chan struct{}), make(chan struct{})
	sent := 0
	pub.onSection = func(int) {
		if sent++; sent == 5 {
			close(at)
			<-goon
		}
	}
	later(prov)
	blob, err := prov.FetchBlob(t.Context(), blobRequest(root, n, id(pub)))
	if err != nil {
		t.Fatal(err)
	}
	<-at
	if _, err := prov.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(goon)
	if err := blob.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	prov.now = func() time.Time { return time.Now().Add(100 * time.Hour) }
	if _, err := prov.GC(t.Context()); err != nil || !exists(prov.BlobPath(n.Digest)) {
		t.Errorf("GC with an open blob: %v", err)
	}
	got := make([]byte, len(b))
	if _, err := blob.ReadAt(got, 0); err != nil || !bytes.Equal(got, b) {
		t.Errorf("reading after GC: %v", err)
	}
	if err := blob.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := prov.GC(t.Context()); err != nil || exists(prov.BlobPath(n.Digest)) {
		t.Errorf("GC after close left the blob: %v", err)
	}
}

func TestPinRefuses(t *testing.T) {
	s := newStore(t, nil)
	n, err := s.AddBytes(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	identity, _ := cid.Decode("bafkqaaa")
	wantCode(t, s.Pin(t.Context(), n.CID, ""), status.InvalidArgument)
	wantCode(t, s.Pin(t.Context(), cid.Undef, "a"), status.InvalidArgument)
	wantCode(t, s.Pin(t.Context(), identity, "a"), status.InvalidArgument)
	if len(s.Owners()) != 0 {
		t.Errorf("owners %v", s.Owners())
	}
}

// A pin that cannot be read stops the start: GC would remove what it keeps.
func TestDamagedRecords(t *testing.T) {
	for _, rel := range []string{"pins/x.json", "grants/x.json", "files/x.json"} {
		dir := t.TempDir()
		s, err := New(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		write(t, s.path(rel), []byte("{"))
		if s, err = New(Config{Dir: dir}); err == nil {
			s.Close()
			t.Errorf("%s: no error", rel)
		}
		if err := os.Remove(dir + "/" + rel); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/"+rel[:5]+"x", nil) // no record
		write(t, dir+"/pins/.tmp-1", []byte("{"))
		if s, err = New(Config{Dir: dir}); err != nil {
			t.Errorf("%s: %v", rel, err)
			continue
		}
		if exists(dir + "/pins/.tmp-1") {
			t.Error("what a crash left of a write is still there")
		}
		s.Close()
	}
}
