package content

import (
	"bytes"
	"io"
	"os"
	"sync"
	"testing"

	"apocryph/proto/status"

	"github.com/libp2p/go-libp2p/core/peer"
)

// pair is a publisher and a provider that knows where it is.
func pair(t testing.TB) (pub, prov *Store) {
	t.Helper()
	a, b := newHost(t), newHost(t)
	meet(b, a)
	return newStore(t, a), newStore(t, b)
}

func id(s *Store) peer.ID { return s.cfg.Host.ID() }

// fetchAll fetches a blob and reads it as it arrives.
func fetchAll(t testing.TB, s *Store, req BlobRequest) ([]byte, error) {
	t.Helper()
	b, err := s.FetchBlob(t.Context(), req)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
}

func TestFetchBlob(t *testing.T) {
	pub, prov := pair(t)
	for name, b := range map[string][]byte{
		"empty": nil, "byte": {1}, "leaf": randomBytes(1, ChunkSize), "odd": randomBytes(2, 5*ChunkSize+99),
		"two levels": randomBytes(3, 176*ChunkSize+5), "same subtrees": make([]byte, 3*MaxLinks*ChunkSize/2),
	} {
		t.Run(name, func(t *testing.T) {
			root, n := addRoot(t, pub, b)
			grant(t, pub, root, id(prov))
			var mu sync.Mutex
			var last Progress
			req := blobRequest(root, n, id(pub))
			req.Report = func(p Progress) { mu.Lock(); last = p; mu.Unlock() }
			got, err := fetchAll(t, prov, req)
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("read %d bytes: %v", len(got), err)
			}
			blob, err := prov.FetchBlob(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			defer blob.Close()
			if err := blob.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			onDisk, err := os.ReadFile(prov.BlobPath(n.Digest))
			if err != nil || !bytes.Equal(onDisk, b) {
				t.Errorf("%d bytes on disk: %v", len(onDisk), err)
			}
			if exists(partialOf(prov, n.Digest)) {
				t.Error("the partial is still there")
			}
			mu.Lock()
			if last.Done != uint64(len(b)) || last.Total != uint64(len(b)) || last.Source == "" {
				t.Errorf("last progress %+v", last)
			}
			mu.Unlock()
			// It is served on from the file.
			if got, err := prov.ReadBytes(t.Context(), n.CID, 1<<30); err != nil || !bytes.Equal(got, b) {
				t.Errorf("reading it back: %v", err)
			}
		})
	}
}

func TestFetchDenied(t *testing.T) {
	pub, prov := pair(t)
	root, n := addRoot(t, pub, randomBytes(1, 2*ChunkSize))
	other, m := addRoot(t, pub, randomBytes(2, 2*ChunkSize))
	grant(t, pub, other, id(prov))
	for name, req := range map[string]BlobRequest{
		"not granted":        blobRequest(root, n, id(pub)),
		"of another root":    blobRequest(other, n, id(pub)),
		"root is not a root": blobRequest(n.CID, n, id(pub)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fetchAll(t, prov, req)
			wantCode(t, err, status.PermissionDenied)
		})
	}
	if _, err := fetchAll(t, prov, blobRequest(other, m, id(pub))); err != nil {
		t.Errorf("granted: %v", err)
	}
	if err := pub.Revoke(other, id(prov)); err != nil {
		t.Fatal(err)
	}
	third := newStore(t, newHost(t))
	meet(third.cfg.Host, pub.cfg.Host)
	_, err := fetchAll(t, third, blobRequest(other, m, id(pub)))
	wantCode(t, err, status.PermissionDenied)
	if err := pub.SetPublic(other, true); err != nil {
		t.Fatal(err)
	}
	if _, err := fetchAll(t, third, blobRequest(other, m, id(pub))); err != nil {
		t.Errorf("public: %v", err)
	}
}
