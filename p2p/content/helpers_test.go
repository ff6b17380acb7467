package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHost is a real host on loopback TCP, closed with the test.
func newHost(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append([]libp2p.Option{
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics(),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// meet lets a know where b is.
func meet(a, b host.Host) { a.Peerstore().AddAddrs(b.ID(), b.Addrs(), peerstore.PermanentAddrTTL) }

// newStore is a store in its own directory; with a host it runs until the test ends.
func newStore(t testing.TB, h host.Host, edit ...func(*Config)) *Store {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), Host: h}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		t.Cleanup(func() { s.Close() })
		return s
	}
	run(t, s)
	return s
}

// run runs a store until the test ends or stop is called, and returns once it serves.
func run(t testing.TB, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Serving():
	case err := <-done:
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// randomBytes is the same for the same seed.
func randomBytes(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// addBlob writes b as a blob of s and adds it.
func addBlob(t testing.TB, s *Store, b []byte) Node {
	t.Helper()
	path := s.BlobPath(digestOf(b))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := s.AddFile(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// addRoot adds a directory with one blob and pins it.
func addRoot(t testing.TB, s *Store, b []byte) (root cid.Cid, blob Node) {
	t.Helper()
	blob = addBlob(t, s, b)
	dir, err := s.AddDirectory(context.Background(), []Entry{{"blob", blob}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pin(context.Background(), dir.CID, "test"); err != nil {
		t.Fatal(err)
	}
	return dir.CID, blob
}

func grant(t testing.TB, s *Store, root cid.Cid, p peer.ID) {
	t.Helper()
	if err := s.Grant(root, p); err != nil {
		t.Fatal(err)
	}
}

func blobRequest(root cid.Cid, n Node, from ...peer.ID) BlobRequest {
	return BlobRequest{Origin: Origin{Root: root, From: from}, CID: n.CID, Digest: n.Digest, Size: n.Size}
}

// wantCode fails unless err has the code.
func wantCode(t testing.TB, err error, want status.Code) {
	t.Helper()
	if got := status.CodeOf(err); got != want {
		t.Errorf("code %v, want %v: %v", got, want, err)
	}
}

// partialOf is the path of an unfinished blob.
func partialOf(s *Store, digest string) string { return s.BlobPath(digest) + partialExt }

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func countBlocks(t testing.TB, s *Store) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(s.path("blocks"), func(path string, _ os.DirEntry, err error) error {
		if filepath.Ext(path) == ".data" {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits for what happens in another goroutine and is not told.
func eventually(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it did not happen")
		}
	}
}
