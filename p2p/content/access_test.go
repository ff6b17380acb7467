package content

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	car "github.com/ipld/go-car/v2"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2phttp "github.com/libp2p/go-libp2p/p2p/http"
)

// stock is a plain bitswap client, as any IPFS node has one.
func stock(t testing.TB, h host.Host) *bitswap.Bitswap {
	t.Helper()
	bs := blockstore.NewBlockstore(dssync.MutexWrap(ds.NewMapDatastore()))
	b := bitswap.New(context.Background(), bsnet.NewFromIpfsHost(h), nil, bs)
	t.Cleanup(func() { b.Close() })
	return b
}

// byBitswap asks for one block; without an answer it gives up.
func byBitswap(t testing.TB, b *bitswap.Bitswap, c cid.Cid, wait time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	_, err := b.NewSession(ctx).GetBlock(ctx, c)
	return err
}

func byGateway(t testing.TB, h host.Host, p peer.ID, path, accept string) (int, []byte) {
	t.Helper()
	c, err := (&libp2phttp.Host{StreamHost: h}).NamespacedClient(gatewayProtocol, peer.AddrInfo{ID: p})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, b
}

// All three protocols give a peer what is granted to it, and nothing else.
func TestAccess(t *testing.T) {
	const raw, carType = "application/vnd.ipld.raw", "application/vnd.ipld.car"
	pub := newStore(t, newHost(t))
	b, secret := randomBytes(1, 2*ChunkSize), randomBytes(2, 2*ChunkSize)
	root, n := addRoot(t, pub, b)
	hidden, m := addRoot(t, pub, secret)
	leafB, leafSecret := leafCID(sum(b[:ChunkSize])), leafCID(sum(secret[:ChunkSize]))

	client := newHost(t)
	meet(client, pub.cfg.Host)
	prov := newStore(t, client, func(c *Config) {})
	grant(t, pub, root, client.ID())
	grant(t, pub, hidden, newHost(t).ID())

	t.Run("stream", func(t *testing.T) {
		if err := prov.FetchTree(t.Context(), Origin{Root: root, From: []peerID{id(pub)}}); err != nil {
			t.Error(err)
		}
		for _, c := range []cid.Cid{hidden, m.CID, leafSecret} {
			err := prov.FetchTree(t.Context(), Origin{Root: hidden, From: []peerID{id(pub)}})
			wantCode(t, err, status.PermissionDenied)
			_, err = prov.FetchBytes(t.Context(), Origin{Root: root, From: []peerID{id(pub)}}, c, 1<<30)
			wantCode(t, err, status.PermissionDenied)
		}
	})
	t.Run("gateway", func(t *testing.T) {
		code, body := byGateway(t, client, id(pub), "/ipfs/"+leafB.String(), raw)
		if code != http.StatusOK || !bytes.Equal(body, b[:ChunkSize]) {
			t.Errorf("granted leaf: %d, %d bytes", code, len(body))
		}
		code, body = byGateway(t, client, id(pub), "/ipfs/"+root.String()+"/blob", carType)
		if code != http.StatusOK || countCAR(t, body) != 4 {
			t.Errorf("granted CAR: %d, %d bytes", code, len(body))
		}
		for _, c := range []cid.Cid{hidden, m.CID, leafSecret} {
			for _, accept := range []string{raw, carType, "*/*"} {
				code, body = byGateway(t, client, id(pub), "/ipfs/"+c.String(), accept)
				if code == http.StatusOK || bytes.Contains(body, secret[:100]) {
					t.Errorf("%s as %s: %d, %d bytes", c, accept, code, len(body))
				}
			}
		}
		code, _ = byGateway(t, client, id(pub), "/ipfs/"+root.String()+"/blob", "*/*")
		if code == http.StatusOK {
			t.Error("the gateway serves more than blocks and CAR")
		}
	})
	t.Run("bitswap", func(t *testing.T) {
		h := newHost(t)
		meet(h, pub.cfg.Host)
		grant(t, pub, root, h.ID())
		if err := h.Connect(t.Context(), peer.AddrInfo{ID: id(pub)}); err != nil {
			t.Fatal(err)
		}
		bs := stock(t, h) // started after the connection
		for _, c := range []cid.Cid{root, n.CID, leafB} {
			if err := byBitswap(t, bs, c, time.Minute); err != nil {
				t.Errorf("granted %s: %v", c, err)
			}
		}
		for _, c := range []cid.Cid{hidden, m.CID, leafSecret} {
			if err := byBitswap(t, bs, c, 2*time.Second); err == nil {
				t.Errorf("%s was served", c)
			}
		}
	})
	t.Run("revoked", func(t *testing.T) {
		if err := pub.Revoke(root, client.ID()); err != nil {
			t.Fatal(err)
		}
		if code, _ := byGateway(t, client, id(pub), "/ipfs/"+leafB.String(), raw); code == http.StatusOK {
			t.Error("the gateway still serves it")
		}
		_, err := prov.FetchBytes(t.Context(), Origin{Root: root, From: []peerID{id(pub)}}, leafB, 1<<30)
		wantCode(t, err, status.PermissionDenied)
	})
}

func countCAR(t *testing.T, b []byte) int {
	t.Helper()
	r, err := car.NewBlockReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		if _, err := r.Next(); err == io.EOF {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A blob comes over bitswap where nobody was named, from a node that is found
// by its connection alone.
func TestFetchAnyone(t *testing.T) {
	for name, connectFirst := range map[string]bool{"connected before": true, "connected after": false} {
		t.Run(name, func(t *testing.T) {
			a, b := newHost(t), newHost(t)
			meet(b, a)
			connect := func() {
				if err := b.Connect(t.Context(), peer.AddrInfo{ID: a.ID()}); err != nil {
					t.Fatal(err)
				}
			}
			if connectFirst {
				connect()
			}
			pub, prov := newStore(t, a), newStore(t, b)
			if !connectFirst {
				connect()
			}
			data := randomBytes(1, 40*ChunkSize+5)
			root, n := addRoot(t, pub, data)
			if err := pub.SetPublic(root, true); err != nil {
				t.Fatal(err)
			}
			from := Origin{Root: root, Anyone: true}
			if err := prov.FetchTree(t.Context(), from); err != nil {
				t.Fatal(err)
			}
			got, err := fetchAll(t, prov, BlobRequest{Origin: from, CID: n.CID, Digest: n.Digest, Size: n.Size})
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// The named peer breaks off; bitswap from another brings the rest.
func TestFallback(t *testing.T) {
	pub, prov := pair(t)
	other := newStore(t, newHost(t))
	meet(prov.cfg.Host, other.cfg.Host)
	if err := prov.cfg.Host.Connect(t.Context(), peer.AddrInfo{ID: id(other)}); err != nil {
		t.Fatal(err)
	}
	data := randomBytes(2, 20*ChunkSize)
	root, n := addRoot(t, pub, data)
	addRoot(t, other, data)
	grant(t, pub, root, id(prov))
	if err := other.SetPublic(root, true); err != nil {
		t.Fatal(err)
	}
	sent := 0
	pub.onSection = func(int) {
		if sent++; sent == 8 {
			if err := pub.Revoke(root, id(prov)); err != nil {
				t.Error(err)
			}
			for _, c := range pub.cfg.Host.Network().Conns() {
				c.Close()
			}
		}
	}
	req := blobRequest(root, n, id(pub))
	req.Anyone = true
	got, err := fetchAll(t, prov, req)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestGrantsAreDurable(t *testing.T) {
	dir := t.TempDir()
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	root, n := addRoot(t, s, randomBytes(1, 2*ChunkSize))
	other, _ := addRoot(t, s, randomBytes(2, ChunkSize))
	p, q := newHost(t).ID(), newHost(t).ID()
	grant(t, s, root, p)
	grant(t, s, root, q)
	if err := s.SetPublic(other, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(root, q); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s, err = New(Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tt := range []struct {
		p       peer.ID
		root, c cid.Cid
		want    bool
	}{
		{p, root, n.CID, true},
		{p, root, root, true},
		{q, root, root, false},
		{q, other, other, true},
		{p, root, other, false},
		{p, other, root, false},
		{p, n.CID, n.CID, false},
	} {
		if got := s.access.below(tt.p, tt.root, tt.c); got != tt.want {
			t.Errorf("below(%s, %s, %s) = %v", tt.p, tt.root, tt.c, got)
		}
	}
	if err := s.SetPublic(other, false); err != nil {
		t.Fatal(err)
	}
	if len(s.Public()) != 0 || s.access.block(q, other) || !s.access.block(p, n.CID) || s.access.block(q, n.CID) {
		t.Error("wrong rights after SetPublic")
	}
	wantCode(t, s.Grant(leafCID(sum([]byte("elsewhere"))), ""), status.InvalidArgument)
	missing := cid.NewCidV1(cid.DagProtobuf, n.CID.Hash()[:])
	if err := s.Grant(missing, p); err != nil {
		t.Errorf("a file as root: %v", err)
	}
	wantCode(t, s.Grant(cid.NewCidV1(cid.DagProtobuf, leafCID(sum(nil)).Hash()), p), status.NotFound)
	// GC takes the grants of what it removes.
	if err := s.Unpin(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	later(s)
	if _, err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.access.block(p, n.CID) {
		t.Error("a grant outlived its root")
	}
}

func sum(b []byte) [32]byte {
	k, _ := keyOf(mustCID(rawV1.Sum(b)))
	return k
}

func mustCID(c cid.Cid, err error) cid.Cid {
	if err != nil {
		panic(fmt.Sprint("cid: ", err))
	}
	return c
}
