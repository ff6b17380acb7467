package content

import (
	"os"
	"testing"

	"apocryph/proto/status"
)

// TestIndexer adds files while they are written: the same blocks as of files
// that are read, and nothing is read again.
func TestIndexer(t *testing.T) {
	for _, size := range []int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 200*ChunkSize + 7} {
		s, other := newStore(t, nil), newStore(t, nil)
		b := randomBytes(uint64(size), size)
		want := addBlob(t, other, b)
		x := s.Indexer()
		for _, n := range []int{1, 100, ChunkSize, 3*ChunkSize + 1, size} {
			n = min(n, len(b)-int(x.size))
			if _, err := x.Write(b[x.size:][:n]); err != nil {
				t.Fatal(err)
			}
		}
		path := s.BlobPath(digestOf(b))
		write(t, path, b)
		if err := x.Commit(t.Context(), path, digestOf(b)); err != nil {
			t.Fatal(err)
		}
		got, err := s.AddFile(t.Context(), path, func(int64) { t.Error("the file is read again") })
		if err != nil || got != want {
			t.Errorf("%d bytes: got %+v (%v), want %+v", size, got, err, want)
		}
		if back, err := s.ReadBytes(t.Context(), got.CID, 1<<30); err != nil || string(back) != string(b) {
			t.Errorf("%d bytes: read %d: %v", size, len(back), err)
		}
	}
}

func TestIndexerRefuses(t *testing.T) {
	s := newStore(t, nil)
	b := randomBytes(1, 2*ChunkSize)
	path := s.BlobPath(digestOf(b))
	x := s.Indexer()
	if _, err := x.Write(b); err != nil {
		t.Fatal(err)
	}
	wantCode(t, x.Commit(t.Context(), path, digestOf(b)), status.NotFound)
	write(t, path, b[1:])
	wantCode(t, x.Commit(t.Context(), path, digestOf(b)), status.Conflict)
	outside := t.TempDir() + "/f"
	if err := os.WriteFile(outside, b, 0o600); err != nil {
		t.Fatal(err)
	}
	wantCode(t, x.Commit(t.Context(), outside, digestOf(b)), status.InvalidArgument)
}
