package content

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"apocryph/proto/status"

	"github.com/libp2p/go-libp2p/core/network"
)

// served counts the bytes of leaves that a store sends.
func served(s *Store) *atomic.Int64 {
	var n atomic.Int64
	s.onSection = func(size int) { n.Add(int64(size)) }
	return &n
}

func TestResume(t *testing.T) {
	two, b := randomBytes(1, 176*ChunkSize+7), randomBytes(1, 24*ChunkSize+7)
	for name, tt := range map[string]struct {
		b []byte
		// left makes what a process that was killed leaves behind.
		left func(path string, s *Store)
		// most is how many leaves may be sent again.
		most int64
	}{
		"prefix":        {b, func(path string, _ *Store) { write(t, path, b[:10*ChunkSize+5]) }, 15},
		"first subtree": {two, func(path string, _ *Store) { write(t, path, two[:174*ChunkSize]) }, 3},
		"wrong leaf":    {b, func(path string, _ *Store) { write(t, path, flip(b, 3*ChunkSize)) }, 1},
		"hole":          {b, func(path string, _ *Store) { write(t, path, zero(b, 5*ChunkSize, 12*ChunkSize)) }, 7},
		"longer":        {b, func(path string, _ *Store) { write(t, path, append(bytes.Clone(b), b[:1000]...)) }, 0},
		"rubbish":       {b, func(path string, _ *Store) { write(t, path, randomBytes(2, len(b))) }, 25},
		"before record": {b, func(_ string, s *Store) { write(t, s.BlobPath(digestOf(b)), b) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pub, prov := pair(t)
			b := tt.b
			root, n := addRoot(t, pub, b)
			grant(t, pub, root, id(prov))
			if err := prov.FetchTree(t.Context(), Origin{Root: root, From: []peerID{id(pub)}}); err != nil {
				t.Fatal(err)
			}
			tt.left(partialOf(prov, n.Digest), prov)
			sent := served(pub)
			got, err := fetchAll(t, prov, blobRequest(root, n, id(pub)))
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("read %d bytes: %v", len(got), err)
			}
			if leaves := (sent.Load() + ChunkSize/2) / ChunkSize; leaves > tt.most {
				t.Errorf("%d leaves were sent, want at most %d", leaves, tt.most)
			}
			if st, err := os.Stat(prov.BlobPath(n.Digest)); err != nil || st.Size() != int64(len(b)) {
				t.Errorf("on disk: %v, %v", st, err)
			}
		})
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func zero(b []byte, from, to int) []byte {
	b = bytes.Clone(b)
	clear(b[from:to])
	return b
}

// The peer vanishes in the middle; the fetch fails, and the next one goes on
// from there, in a new store over the same directory.
func TestKillMidFetch(t *testing.T) {
	b := randomBytes(3, 20*ChunkSize)
	pub, prov := pair(t)
	root, n := addRoot(t, pub, b)
	grant(t, pub, root, id(prov))
	cut := make(chan struct{})
	var sent atomic.Int64
	pub.onSection = func(int) {
		if sent.Add(1) == 12 {
			close(cut)
			<-t.Context().Done() // sends no more
		}
	}
	blob, err := prov.FetchBlob(t.Context(), blobRequest(root, n, id(pub)))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, ChunkSize)
	for i := range 5 {
		if _, err := blob.ReadAt(buf, int64(i)*ChunkSize); err != nil || !bytes.Equal(buf, b[i*ChunkSize:(i+1)*ChunkSize]) {
			t.Fatalf("reading leaf %d while it arrives: %v", i, err)
		}
	}
	<-cut
	if err := prov.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.ReadAt(buf, 0); err == nil {
		t.Error("a read after the failure succeeded")
	}
	wantCode(t, blob.Wait(t.Context()), status.Canceled)
	if err := blob.Close(); err != nil {
		t.Fatal(err)
	}

	// A new publisher, and a new process on the provider's side.
	a := newHost(t)
	again := newStore(t, a)
	addRoot(t, again, b)
	h := newHost(t)
	meet(h, a)
	resumed, err := New(Config{Dir: prov.cfg.Dir, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	run(t, resumed)
	grant(t, again, root, h.ID())
	count := served(again)
	got, err := fetchAll(t, resumed, blobRequest(root, n, a.ID()))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("resumed: %d bytes, %v", len(got), err)
	}
	if count.Load() > 15*ChunkSize {
		t.Errorf("%d bytes were sent again", count.Load())
	}
}

// A broken stream is taken up again with the same peer.
func TestBrokenStream(t *testing.T) {
	b := randomBytes(4, 12*ChunkSize)
	pub, prov := pair(t)
	root, n := addRoot(t, pub, b)
	grant(t, pub, root, id(prov))
	var sent atomic.Int64
	pub.onSection = func(int) {
		if sent.Add(1) == 6 {
			for _, c := range pub.cfg.Host.Network().Conns() {
				c.Close()
			}
		}
	}
	got, err := fetchAll(t, prov, blobRequest(root, n, id(pub)))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("read %d bytes: %v", len(got), err)
	}
}

func TestSecondPublisher(t *testing.T) {
	b := randomBytes(5, 3*ChunkSize)
	pub, prov := pair(t)
	other := newStore(t, newHost(t))
	meet(prov.cfg.Host, other.cfg.Host)
	root, n := addRoot(t, pub, b)
	addRoot(t, other, b)
	grant(t, other, root, id(prov)) // the first one refuses
	got, err := fetchAll(t, prov, blobRequest(root, n, id(pub), id(other)))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("read %d bytes: %v", len(got), err)
	}
}

func TestSharedFetch(t *testing.T) {
	b := randomBytes(6, 8*ChunkSize)
	pub, prov := pair(t)
	root, n := addRoot(t, pub, b)
	grant(t, pub, root, id(prov))
	hold := make(chan struct{})
	var sent atomic.Int64
	pub.onSection = func(int) {
		if sent.Add(1) == 4 {
			<-hold
		}
	}
	short, cancel := context.WithCancel(t.Context())
	first, err := prov.FetchBlob(short, blobRequest(root, n, id(pub)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := prov.FetchBlob(t.Context(), blobRequest(root, n, id(pub)))
	if err != nil {
		t.Fatal(err)
	}
	cancel() // the first one's end does not end it for the second
	if err := first.Wait(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	close(hold)
	if got, err := io.ReadAll(io.NewSectionReader(second, 0, second.Size())); err != nil || !bytes.Equal(got, b) {
		t.Errorf("second: %d bytes, %v", len(got), err)
	}
	first.Close()
	second.Close()
	if _, err := second.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if n := sent.Load(); n != 9 {
		t.Errorf("%d blocks were sent, want those of one fetch", n)
	}
}

// fullDisk fails like a disk that is full after some bytes.
type fullDisk struct {
	blobFile
	left atomic.Int64
}

func (f *fullDisk) WriteAt(p []byte, off int64) (int, error) {
	if f.left.Add(-int64(len(p))) < 0 {
		return 0, &os.PathError{Op: "write", Path: "blob", Err: syscall.ENOSPC}
	}
	return f.blobFile.WriteAt(p, off)
}

func TestDiskFull(t *testing.T) {
	b := randomBytes(7, 10*ChunkSize)
	pub, prov := pair(t)
	root, n := addRoot(t, pub, b)
	grant(t, pub, root, id(prov))
	prov.create = func(path string) (blobFile, error) {
		f, err := createBlobFile(path)
		d := &fullDisk{blobFile: f}
		d.left.Store(4 * ChunkSize)
		return d, err
	}
	_, err := fetchAll(t, prov, blobRequest(root, n, id(pub)))
	wantCode(t, err, status.ResourceExhausted)
	if exists(prov.BlobPath(n.Digest)) {
		t.Error("an incomplete blob has its final name")
	}
	prov.create = createBlobFile
	if got, err := fetchAll(t, prov, blobRequest(root, n, id(pub))); err != nil || !bytes.Equal(got, b) {
		t.Errorf("with space again: %d bytes, %v", len(got), err)
	}
}

func TestFetchRefuses(t *testing.T) {
	pub, prov := pair(t)
	root, n := addRoot(t, pub, randomBytes(8, 3*ChunkSize))
	grant(t, pub, root, id(prov))
	edit := func(f func(*BlobRequest)) BlobRequest {
		r := blobRequest(root, n, id(pub))
		f(&r)
		return r
	}
	for name, tt := range map[string]struct {
		req  BlobRequest
		want status.Code
	}{
		"no digest":      {edit(func(r *BlobRequest) { r.Digest = "" }), status.InvalidArgument},
		"upper case":     {edit(func(r *BlobRequest) { r.Digest = "sha256:" + string(bytes.ToUpper([]byte(n.Digest[7:]))) }), status.InvalidArgument},
		"path as digest": {edit(func(r *BlobRequest) { r.Digest = "sha256:../../x" }), status.InvalidArgument},
		"negative":       {edit(func(r *BlobRequest) { r.Size = -1 }), status.InvalidArgument},
		"huge":           {edit(func(r *BlobRequest) { r.Size = 1 << 62 }), status.InvalidArgument},
		"no cid":         {edit(func(r *BlobRequest) { r.CID = cidUndef }), status.InvalidArgument},
		"wrong size":     {edit(func(r *BlobRequest) { r.Size-- }), status.Untrusted},
		"wrong digest":   {edit(func(r *BlobRequest) { r.Digest = digestOf([]byte("x")) }), status.Untrusted},
		"a directory":    {edit(func(r *BlobRequest) { r.CID = root }), status.Untrusted},
		"nobody":         {edit(func(r *BlobRequest) { r.From = nil; r.Digest = digestOf([]byte("y")) }), status.Unavailable},
		"oneself":        {edit(func(r *BlobRequest) { r.From = []peerID{id(prov)} }), status.Unavailable},
		"nowhere":        {edit(func(r *BlobRequest) { r.From = []peerID{"12D3"} }), status.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fetchAll(t, prov, tt.req)
			wantCode(t, err, tt.want)
			if exists(prov.BlobPath(tt.req.Digest)) {
				t.Error("something was kept under that digest")
			}
		})
	}
}

// Streams of a peer beyond its share are refused at once, and it may go on when
// others have ended.
func TestBusy(t *testing.T) {
	pub, prov := pair(t)
	root, n := addRoot(t, pub, randomBytes(9, ChunkSize))
	grant(t, pub, root, id(prov))
	var open []network.Stream
	for range peerStreams {
		st, err := prov.cfg.Host.NewStream(t.Context(), id(pub), Protocol)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write([]byte{200}); err != nil { // a request that never ends
			t.Fatal(err)
		}
		open = append(open, st)
	}
	eventually(t, func() bool {
		pub.streams.mu.Lock()
		defer pub.streams.mu.Unlock()
		return pub.streams.all == peerStreams
	})
	err := prov.pull(t.Context(), id(pub), root, want{child: child{cid: root, size: unknownSize}}, true, sink{})
	wantCode(t, err, status.ResourceExhausted)
	blob, err := prov.FetchBlob(t.Context(), blobRequest(root, n, id(pub))) // waits
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	for _, st := range open {
		_ = st.Reset()
	}
	if err := blob.Wait(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
