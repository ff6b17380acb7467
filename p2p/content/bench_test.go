package content

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

var (
	benchSize  = flag.Int("bench.mb", 64, "MiB that benchmarks move")
	memorySize = flag.Int("memory.mb", 256, "MiB of the blob of TestMemory")
)

// bigFile writes pseudo-random bytes to a file without holding them.
func bigFile(tb testing.TB, path string, size int64) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	block := randomBytes(42, 1<<20)
	for n := int64(0); n < size; n += int64(len(block)) {
		copy(block, fmt.Sprintf("%020d", n))
		if _, err := f.Write(block[:min(int64(len(block)), size-n)]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		tb.Fatal(err)
	}
}

// publish adds a big file to a new store.
func publish(tb testing.TB, s *Store, size int64) (root cid.Cid, n Node) {
	tb.Helper()
	path := s.path("blobs/sha256/big")
	bigFile(tb, path, size)
	n, err := s.AddFile(context.Background(), path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	dir, err := s.AddDirectory(context.Background(), []Entry{{"big", n}})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.SetPublic(dir.CID, true); err != nil {
		tb.Fatal(err)
	}
	return dir.CID, n
}

// BenchmarkFetch fetches one blob over loopback TCP to disk: over the content
// stream, over our bitswap, over bitswap with stock settings on the server, and
// over plain HTTP with a SHA-256. The figure is MB/s of the blob.
func BenchmarkFetch(b *testing.B) {
	size := int64(*benchSize) << 20
	each := func(b *testing.B, once func(dir string) error) {
		b.SetBytes(size)
		for b.Loop() {
			b.StopTimer()
			dir, err := os.MkdirTemp(b.TempDir(), "")
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			err = once(dir)
			b.StopTimer()
			if err != nil {
				b.Fatal(err)
			}
			os.RemoveAll(dir)
			b.StartTimer()
		}
	}
	h := newHost(b)
	pub := newStore(b, h)
	root, n := publish(b, pub, size)
	store := func(anyone bool) func(string) error {
		return func(dir string) error {
			return fetchOnce(b, dir, h, root, n, anyone)
		}
	}
	b.Run("http", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		srv := &http.Server{Handler: http.FileServer(http.Dir(pub.path("blobs/sha256")))}
		go srv.Serve(l)
		defer srv.Close()
		each(b, func(dir string) error { return httpOnce(dir, l.Addr().String(), n.Digest) })
		http.DefaultClient.CloseIdleConnections()
	})
	b.Run("stream", func(b *testing.B) { each(b, store(false)) })
	b.Run("bitswap", func(b *testing.B) { each(b, store(true)) })
	b.Run("stock", func(b *testing.B) {
		sh := newHost(b)
		bs := bitswap.New(context.Background(), bsnet.NewFromIpfsHost(sh), nil, view{pub})
		defer bs.Close()
		each(b, func(dir string) error { return fetchOnce(b, dir, sh, root, n, true) })
	})
}

func fetchOnce(b *testing.B, dir string, from host.Host, root cid.Cid, n Node, anyone bool) error {
	b.StopTimer()
	h := newHost(b)
	defer h.Close()
	s, err := New(Config{Dir: dir, Host: h})
	if err != nil {
		return err
	}
	stop := run(b, s)
	defer stop()
	meet(h, from)
	if err := h.Connect(context.Background(), peer.AddrInfo{ID: from.ID()}); err != nil {
		return err
	}
	req := blobRequest(root, n, from.ID())
	if anyone {
		req.From, req.Anyone = nil, true
	}
	b.StartTimer()
	blob, err := s.FetchBlob(context.Background(), req)
	if err != nil {
		return err
	}
	err = blob.Wait(context.Background())
	b.StopTimer()
	blob.Close()
	return err
}

func httpOnce(dir, addr, want string) error {
	res, err := http.Get("http://" + addr + "/big")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	f, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, res.Body, make([]byte, 1<<20)); err != nil {
		return err
	}
	if got := fmt.Sprintf("sha256:%x", h.Sum(nil)); got != want {
		return fmt.Errorf("got %s", got)
	}
	return f.Sync()
}

// BenchmarkAddFile is the publisher's side.
func BenchmarkAddFile(b *testing.B) {
	size := int64(*benchSize) << 20
	s := newStore(b, nil)
	path := s.path("blobs/sha256/big")
	bigFile(b, path, size)
	b.SetBytes(size)
	for b.Loop() {
		now := time.Now() // a new time, or the file is not read again
		if err := os.Chtimes(path, now, now); err != nil {
			b.Fatal(err)
		}
		if _, err := s.AddFile(context.Background(), path, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMemory publishes and fetches a big blob with both ends in this process,
// and watches the heap and what the process holds.
func TestMemory(t *testing.T) {
	const limit = 150 << 20
	pub, prov := pair(t)
	var peak atomic.Uint64
	debug.FreeOSMemory()
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			// What the runtime took from the system and did not give back.
			peak.Store(max(peak.Load(), m.Sys-m.HeapReleased))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	size := int64(*memorySize) << 20
	root, n := publish(t, pub, size)
	b, err := prov.FetchBlob(t.Context(), blobRequest(root, n, id(pub)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(done)
	<-watched
	t.Logf("peak %d MiB for both ends and %d MiB of content", peak.Load()>>20, size>>20)
	if peak.Load() > limit {
		t.Errorf("peak of %d bytes, want at most %d", peak.Load(), limit)
	}
}
