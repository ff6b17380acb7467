package content

import (
	"bufio"
	"bytes"
	"testing"

	"apocryph/proto/status"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
)

func FuzzContentRequest(f *testing.F) {
	var b bytes.Buffer
	c := leafCID(sum([]byte("x")))
	if err := writeRequest(&b, request{c, c, true}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0x03})
	f.Add(append([]byte{4}, 0x0a, 2, 1, 0x55))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		req, err := readRequest(r)
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Errorf("code of %v", err)
			}
			return
		}
		var out bytes.Buffer
		if err := writeRequest(&out, req); err != nil {
			t.Fatal(err)
		}
		again, err := readRequest(bufio.NewReader(&out))
		if err != nil || again != req {
			t.Errorf("%v became %v: %v", req, again, err)
		}
	})
}

// FuzzReceive reads sections that a peer sends for a file of two leaves.
func FuzzReceive(f *testing.F) {
	a, b := []byte("first leaf"), []byte("second")
	top, nodes, err := layout([]subtree{
		{cid: leafCID(sum(a)), size: uint64(len(a)), total: uint64(len(a))},
		{cid: leafCID(sum(b)), size: uint64(len(b)), total: uint64(len(b))},
	})
	if err != nil {
		f.Fatal(err)
	}
	section := func(c subtree, data []byte) []byte { return append(appendSection(nil, c.cid, len(data)), data...) }
	good := section(top, nodes[0].RawData())
	good = append(good, section(subtree{cid: leafCID(sum(a))}, a)...)
	good = append(good, section(subtree{cid: leafCID(sum(b))}, b)...)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add(flip(good, 60))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		got := make([]byte, len(a)+len(b))
		err := receive(sections{bufio.NewReader(bytes.NewReader(in))}, want{child: child{cid: top.cid, size: int64(len(got))}}, false, sink{
			inner:  func(want, []byte, inner) error { return nil },
			buffer: func(n int) *[]byte { b := make([]byte, n); return &b },
			leaf: func(w want, buf *[]byte) error {
				if err := verify(w.cid, *buf); err != nil {
					return err
				}
				copy(got[w.off:], *buf)
				return nil
			},
		})
		if err == nil && !bytes.Equal(in, good) {
			t.Errorf("accepted %x", in)
		}
		if err == nil && string(got) != string(a)+string(b) {
			t.Errorf("got %q", got)
		}
	})
}

func FuzzInnerNode(f *testing.F) {
	f.Add(unixfs.EmptyDirNode().RawData())
	f.Add(merkledag.NodeWithData(unixfs.FilePBData([]byte("inline"), 6)).RawData())
	_, blocks, err := layout([]subtree{{cid: leafCID(sum(nil)), size: 1, total: 1}, {cid: leafCID(sum([]byte{1})), size: 2, total: 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blocks[0].RawData())
	f.Add([]byte{0x0a, 0x02, 0x08, 0x05})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := parseInner(b)
		if err != nil {
			return
		}
		var sum int64
		for _, c := range in.children {
			if _, ok := keyOf(c.cid); !ok {
				t.Errorf("child %s", c.cid)
			}
			if !in.dir && c.size <= 0 {
				t.Errorf("child of %d bytes", c.size)
			}
			sum += c.size
		}
		if !in.dir && (sum != in.size || len(in.children) == 0) {
			t.Errorf("%d children with %d bytes in a file of %d", len(in.children), sum, in.size)
		}
	})
}
