package content

import (
	"bytes"
	"os"
	"testing"
	"time"

	"apocryph/proto/status"
)

// TestBitRot: a store that was opened again does not hash what it sends to a
// receiver who does. Where that finds a wrong leaf, the next one who asks is
// told that the file was changed, and the file is forgotten.
func TestBitRot(t *testing.T) {
	dir, h := t.TempDir(), newHost(t)
	s, err := New(Config{Dir: dir, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	b := randomBytes(3, 5*ChunkSize)
	path := s.BlobPath(digestOf(b))
	old := time.Now().Add(-time.Hour)
	age := func() {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	root, n := addRoot(t, s, b)
	age()
	if _, err := s.AddFile(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	stop()

	pub := newStore(t, h, func(c *Config) { c.Dir = dir })
	prov := newStore(t, newHost(t))
	meet(prov.cfg.Host, h)
	grant(t, pub, root, id(prov))
	good, ok := pub.files.find(n.CID)
	if !ok || good.hashed == nil {
		t.Fatal("a file that was not touched is not trusted")
	}
	write(t, path, flip(b, 3*ChunkSize+1))
	age()
	_, err = fetchAll(t, prov, blobRequest(root, n, id(pub)))
	wantCode(t, err, status.Untrusted)
	if _, ok := pub.files.find(n.CID); !ok {
		t.Error("the store has looked at what it sent; this test shows nothing")
	}
	_, err = fetchAll(t, prov, blobRequest(root, n, id(pub)))
	if err == nil {
		t.Error("a changed file was fetched")
	}
	if _, ok := pub.files.find(n.CID); ok {
		t.Error("the changed file is not forgotten")
	}

	// Put right and added again, it is fetched.
	write(t, path, b)
	addBlob(t, pub, b)
	if got, err := fetchAll(t, prov, blobRequest(root, n, id(pub))); err != nil || !bytes.Equal(got, b) {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
}
