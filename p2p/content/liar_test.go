package content

import (
	"bufio"
	"bytes"
	"testing"

	"apocryph/proto/status"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

type peerID = peer.ID

var cidUndef = cid.Undef

// liar is a host that answers content requests as it likes.
func liar(t *testing.T, prov *Store, answer func(req request, st network.Stream)) peerID {
	t.Helper()
	h := newHost(t)
	meet(prov.cfg.Host, h)
	h.SetStreamHandler(Protocol, func(st network.Stream) {
		req, err := readRequest(bufio.NewReader(st))
		if err != nil {
			_ = st.Reset()
			return
		}
		answer(req, st)
		_ = st.CloseWrite()
		_ = st.Close()
	})
	return h.ID()
}

// honest is the whole DAG of b, in the order of the wire.
func honest(t *testing.T, b []byte) (Node, []blocks.Block) {
	t.Helper()
	s := newStore(t, nil)
	n := addBlob(t, s, b)
	var out []blocks.Block
	err := s.walk(t.Context(), child{cid: n.CID, size: unknownSize}, func(c child, _ int64, _ *inner) error {
		blk, err := view{s}.Get(t.Context(), c.cid)
		out = append(out, blk)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, out
}

func send(st network.Stream, bs ...blocks.Block) {
	for _, b := range bs {
		_, _ = st.Write(append(appendSection(nil, b.Cid(), len(b.RawData())), b.RawData()...))
	}
}

func TestLyingPeer(t *testing.T) {
	b := randomBytes(1, 5*ChunkSize)
	n, bs := honest(t, b)
	wrong := func(i int) blocks.Block {
		blk, err := blocks.NewBlockWithCid(flip(bs[i].RawData(), 0), bs[i].Cid())
		if err != nil {
			t.Fatal(err)
		}
		return blk
	}
	ok := func(st network.Stream) { _ = writeResponse(st, 0, 0, nil) }
	for name, tt := range map[string]struct {
		answer func(request, network.Stream)
		want   status.Code
	}{
		"wrong leaf": {func(_ request, st network.Stream) {
			ok(st)
			send(st, bs[0], bs[1], wrong(2), bs[3], bs[4], bs[5])
		}, status.Untrusted},
		"wrong node":    {func(_ request, st network.Stream) { ok(st); send(st, wrong(0), bs[1]) }, status.Untrusted},
		"other order":   {func(_ request, st network.Stream) { ok(st); send(st, bs[0], bs[2], bs[1]) }, status.Untrusted},
		"another block": {func(_ request, st network.Stream) { ok(st); send(st, bs[1]) }, status.Untrusted},
		"extra blocks": {func(_ request, st network.Stream) {
			ok(st)
			send(st, bs...)
			send(st, bs[1])
		}, status.OK}, // complete and verified before the surplus is met
		"huge section": {func(_ request, st network.Stream) {
			ok(st)
			_, _ = st.Write([]byte{0xff, 0xff, 0xff, 0xff, 0x7f})
		}, status.Untrusted},
		"tiny section": {func(_ request, st network.Stream) { ok(st); _, _ = st.Write([]byte{1, 1}) }, status.Untrusted},
		"short leaf":   {func(_ request, st network.Stream) { ok(st); send(st, bs[0], cut(t, bs[1])) }, status.Untrusted},
		"truncated": {func(req request, st network.Stream) {
			if ok(st); req.cid == n.CID {
				send(st, bs[0], bs[1], bs[2])
			}
		}, status.Unavailable},
		"nothing":      {func(_ request, st network.Stream) { ok(st) }, status.Unavailable},
		"reset":        {func(_ request, st network.Stream) { ok(st); send(st, bs[0]); _ = st.Reset() }, status.Unavailable},
		"no response":  {func(_ request, st network.Stream) {}, status.Unavailable},
		"big response": {func(_ request, st network.Stream) { _, _ = st.Write([]byte{0xff, 0xff, 0xff, 0x7f}) }, status.Unavailable},
		"refusal": {func(_ request, st network.Stream) {
			_ = writeResponse(st, 0, 0, status.New(status.NotFound, "x", "\x1b[31mno"))
		}, status.NotFound},
		"claims success": {func(_ request, st network.Stream) { _ = writeResponse(st, 0, 0, status.New(status.OK, "x", "x")) }, status.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prov := newStore(t, newHost(t))
			p := liar(t, prov, tt.answer)
			got, err := fetchAll(t, prov, blobRequest(n.CID, n, p))
			wantCode(t, err, tt.want)
			if err == nil && !bytes.Equal(got, b) {
				t.Error("wrong bytes")
			}
			// An honest peer brings the rest.
			pub := newStore(t, newHost(t))
			meet(prov.cfg.Host, pub.cfg.Host)
			addBlob(t, pub, b)
			grant(t, pub, n.CID, id(prov))
			got, err = fetchAll(t, prov, blobRequest(n.CID, n, p, id(pub)))
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("after the liar: %d bytes, %v", len(got), err)
			}
		})
	}
}

func cut(t *testing.T, b blocks.Block) blocks.Block {
	t.Helper()
	out, err := blocks.NewBlockWithCid(b.RawData()[:100], b.Cid())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A directory of a stranger that never ends, or that is not what it seems.
func TestLyingTree(t *testing.T) {
	s := newStore(t, nil)
	leaf, err := s.AddBytes(t.Context(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	deep := leaf
	for range maxDepth + 2 {
		if deep, err = s.AddDirectory(t.Context(), []Entry{{"d", deep}}); err != nil {
			t.Fatal(err)
		}
	}
	wide, err := s.AddDirectory(t.Context(), []Entry{{"f", leaf}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		root cid.Cid
		send []cid.Cid
		want status.Code
	}{
		"deep":    {deep.CID, below(t, s, deep.CID), status.Untrusted},
		"missing": {deep.CID, below(t, s, deep.CID)[:2], status.Unavailable},
		"other":   {wide.CID, []cid.Cid{deep.CID}, status.Untrusted},
		"surplus": {wide.CID, []cid.Cid{wide.CID, deep.CID}, status.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prov := newStore(t, newHost(t))
			p := liar(t, prov, func(_ request, st network.Stream) {
				_ = writeResponse(st, 0, 0, nil)
				for _, c := range tt.send {
					b, err := s.blocks.Get(t.Context(), c)
					if err != nil {
						return
					}
					send(st, b)
				}
			})
			wantCode(t, prov.FetchTree(t.Context(), Origin{Root: tt.root, From: []peerID{p}}), tt.want)
		})
	}
}

// below lists the chain of directories from c on.
func below(t *testing.T, s *Store, c cid.Cid) []cid.Cid {
	t.Helper()
	var out []cid.Cid
	for !isLeaf(c) {
		out = append(out, c)
		in, err := s.inner(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		c = in.children[0].cid
	}
	return out
}
