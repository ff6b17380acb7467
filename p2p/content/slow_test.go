package content

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// A peer that stops sending does not hold a fetch.
func TestSilentPeer(t *testing.T) {
	n, bs := honest(t, randomBytes(1, 3*ChunkSize))
	for name, answer := range map[string]func(network.Stream){
		"no answer":      func(network.Stream) {},
		"half an answer": func(st network.Stream) { _, _ = st.Write([]byte{5}) },
		"half a section": func(st network.Stream) {
			_ = writeResponse(st, 0, 0, nil)
			_, _ = st.Write(appendSection(nil, n.CID, 100))
		},
		"some blocks":     func(st network.Stream) { _ = writeResponse(st, 0, 0, nil); send(st, bs[0], bs[1]) },
		"all but the end": func(st network.Stream) { _ = writeResponse(st, 0, 0, nil); send(st, bs[:3]...) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			prov, err := New(Config{Dir: t.TempDir(), Host: h})
			if err != nil {
				t.Fatal(err)
			}
			prov.idle = 50 * time.Millisecond
			run(t, prov)
			p := liar(t, prov, func(req request, st network.Stream) {
				if req.cid == n.CID { // of a single leaf nothing at all comes
					answer(st)
				}
				_, _ = io.ReadAll(st)
				<-t.Context().Done()
			})
			_, err = fetchAll(t, prov, blobRequest(n.CID, n, p))
			wantCode(t, err, status.Unavailable)
		})
	}
}

// A peer that asks and does not read gives its place back.
func TestSlowReader(t *testing.T) {
	a, h := newHost(t), newHost(t)
	meet(h, a)
	pub, err := New(Config{Dir: t.TempDir(), Host: a})
	if err != nil {
		t.Fatal(err)
	}
	pub.slow = 50 * time.Millisecond
	run(t, pub)
	root, n := addRoot(t, pub, randomBytes(1, 64*ChunkSize)) // more than windows hold
	grant(t, pub, root, h.ID())
	st, err := h.NewStream(t.Context(), a.ID(), Protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Reset()
	if err := writeRequest(st, request{root, n.CID, false}); err != nil {
		t.Fatal(err)
	}
	served := false
	eventually(t, func() bool {
		pub.streams.mu.Lock()
		defer pub.streams.mu.Unlock()
		served = served || pub.streams.all > 0
		return served && pub.streams.all == 0
	})
	if err := st.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var reset *network.StreamError
	if _, err := io.Copy(io.Discard, st); !errors.As(err, &reset) {
		t.Errorf("the stream ended with %v, want a reset", err)
	}
}

// fakeRouting notes what is provided.
type fakeRouting struct {
	mu    sync.Mutex
	roots []cid.Cid
	err   error
}

func (f *fakeRouting) Provide(_ context.Context, c cid.Cid, announce bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if announce {
		f.roots = append(f.roots, c)
	}
	return f.err
}

func (f *fakeRouting) FindProvidersAsync(context.Context, cid.Cid, int) <-chan peer.AddrInfo {
	ch := make(chan peer.AddrInfo)
	close(ch)
	return ch
}

func (f *fakeRouting) has(c cid.Cid) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.roots, c)
}

func TestAnnounce(t *testing.T) {
	dir := t.TempDir()
	local, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	public, _ := addRoot(t, local, randomBytes(1, 3*ChunkSize))
	private, n := addRoot(t, local, randomBytes(2, 3*ChunkSize))
	if err := local.SetPublic(public, true); err != nil {
		t.Fatal(err)
	}
	wantCode(t, local.Announce(t.Context(), public), status.Unavailable)
	if err := local.Close(); err != nil {
		t.Fatal(err)
	}
	fake := &fakeRouting{}
	s := newStore(t, newHost(t), func(c *Config) { c.Dir, c.Routing = dir, fake })
	eventually(t, func() bool { return fake.has(public) })
	wantCode(t, s.Announce(t.Context(), private), status.InvalidArgument)
	wantCode(t, s.Announce(t.Context(), n.CID), status.InvalidArgument)
	if fake.has(private) || fake.has(n.CID) {
		t.Error("private content was announced")
	}
	fake.mu.Lock()
	fake.err = errors.New("no peers")
	fake.mu.Unlock()
	wantCode(t, s.Announce(t.Context(), public), status.Unavailable)
}

// After its end a store refuses everything and nothing hangs.
func TestClosed(t *testing.T) {
	pub, prov := pair(t)
	root, n := addRoot(t, pub, randomBytes(1, 3*ChunkSize))
	for range 2 {
		if err := pub.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	_, add := pub.AddBytes(ctx, []byte("x"))
	_, dir := pub.AddDirectory(ctx, nil)
	_, fetch := pub.FetchBlob(ctx, BlobRequest{Origin: Origin{Root: root}, CID: n.CID, Digest: digestOf(nil), Size: 1})
	_, gc := pub.GC(ctx)
	for name, err := range map[string]error{
		"AddBytes": add, "AddDirectory": dir, "FetchBlob": fetch, "GC": gc,
		"Pin": pub.Pin(ctx, root, "x"), "Unpin": pub.Unpin(ctx, "test"), "Run": pub.Run(ctx),
	} {
		if status.CodeOf(err) != status.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := fetchAll(t, prov, blobRequest(root, n, id(pub)))
	wantCode(t, err, status.Unavailable)
}
