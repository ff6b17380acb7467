package content

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"apocryph/proto/status"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	format "github.com/ipfs/go-ipld-format"
)

// boxo builds the same file as `ipfs add` does, with the library that ipfs uses.
func boxo(t *testing.T, b []byte) (format.Node, format.DAGService) {
	t.Helper()
	bs := blockstore.NewBlockstore(dssync.MutexWrap(ds.NewMapDatastore()))
	dag := merkledag.NewDAGService(blockservice.New(bs, offline.Exchange(bs)))
	p := helpers.DagBuilderParams{Maxlinks: helpers.DefaultLinksPerBlock, RawLeaves: true, CidBuilder: dagPB, Dagserv: dag}
	h, err := p.New(chunk.NewSizeSplitter(bytes.NewReader(b), ChunkSize))
	if err != nil {
		t.Fatal(err)
	}
	n, err := balanced.Layout(h)
	if err != nil {
		t.Fatal(err)
	}
	return n, dag
}

func TestCIDs(t *testing.T) {
	s := newStore(t, nil)
	for _, tt := range []struct {
		name string
		b    []byte
		want string // as printed by ipfs add
	}{
		{"empty", nil, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
		{"hello", []byte("hello world\n"), "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"},
		{"one chunk", randomBytes(1, ChunkSize), ""},
		{"one byte more", randomBytes(1, ChunkSize+1), ""},
		{"odd", randomBytes(2, 5*ChunkSize+12345), ""},
		{"174 chunks", bytes.Repeat(randomBytes(3, ChunkSize), MaxLinks), ""},
		{"174 chunks and a byte", append(bytes.Repeat(randomBytes(3, ChunkSize), MaxLinks), 1), ""},
		{"zeros", make([]byte, 180*ChunkSize), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, _ := boxo(t, tt.b)
			size, err := n.Size()
			if err != nil {
				t.Fatal(err)
			}
			want := Node{CID: n.Cid(), Size: int64(len(tt.b)), Total: size, Digest: digestOf(tt.b)}
			if tt.want != "" && want.CID.String() != tt.want {
				t.Errorf("boxo made %s, want %s", want.CID, tt.want)
			}
			got := addBlob(t, s, tt.b)
			equal := cmp.Comparer(func(a, b cid.Cid) bool { return a == b })
			if d := cmp.Diff(want, got, equal); d != "" {
				t.Errorf("AddFile (-want +got):\n%s", d)
			}
			if len(tt.b) > 8*ChunkSize {
				return
			}
			got, err = s.AddBytes(t.Context(), tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, equal); d != "" {
				t.Errorf("AddBytes (-want +got):\n%s", d)
			}
		})
	}
}

func TestDirectoryCID(t *testing.T) {
	s := newStore(t, nil)
	empty, err := s.AddDirectory(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"; empty.CID.String() != want {
		t.Errorf("empty directory %s, want %s", empty.CID, want)
	}
	b := randomBytes(9, 3*ChunkSize)
	n, dag := boxo(t, b)
	d, err := uio.NewDirectory(dag, uio.WithCidBuilder(dagPB))
	if err != nil {
		t.Fatal(err)
	}
	var entries []Entry
	blob := addBlob(t, s, b)
	for i := range 260 {
		name := fmt.Sprintf("sha256:%064d", i*7919%260)
		if err := d.AddChild(t.Context(), name, n); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{name, blob})
	}
	want, err := d.GetNode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.AddDirectory(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := want.Size()
	if got.CID != want.Cid() || got.Total != size {
		t.Errorf("got %s of %d, want %s of %d", got.CID, got.Total, want.Cid(), size)
	}
	nested, err := s.AddDirectory(t.Context(), []Entry{{"d", got}, {"f", blob}})
	if err != nil {
		t.Fatal(err)
	}
	es, err := s.List(t.Context(), nested.CID)
	if err != nil {
		t.Fatal(err)
	}
	if len(es) != 2 || !es[0].Node.Dir || es[0].Node.Total != got.Total || es[1].Node.Size != blob.Size || es[1].Node.Digest != blob.Digest {
		t.Errorf("listing %+v", es)
	}
}

func TestAddDirectoryRefuses(t *testing.T) {
	s := newStore(t, nil)
	n, err := s.AddBytes(t.Context(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	var many []Entry
	for i := range maxEntries + 1 {
		many = append(many, Entry{fmt.Sprint(i), n})
	}
	identity, _ := cid.Decode("bafkqaaa")
	for name, entries := range map[string][]Entry{
		"empty name": {{"", n}}, "dot": {{".", n}}, "dots": {{"..", n}}, "slash": {{"a/b", n}}, "control": {{"a\n", n}},
		"twice": {{"a", n}, {"a", n}}, "long": {{string(make([]byte, 256)), n}}, "many": many,
		"identity": {{"a", Node{CID: identity}}}, "no cid": {{"a", Node{}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.AddDirectory(t.Context(), entries)
			wantCode(t, err, status.InvalidArgument)
		})
	}
}

func TestAddFileRefuses(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, nil, func(c *Config) { c.Roots = []string{root} })
	outside := filepath.Join(t.TempDir(), "f")
	write(t, outside, []byte("secret"))
	link := filepath.Join(root, "link")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(root, "f")
	write(t, inside, []byte("fine"))
	if _, err := s.AddFile(t.Context(), inside, nil); err != nil {
		t.Errorf("a file below a root: %v", err)
	}
	for name, tt := range map[string]struct {
		path string
		want status.Code
	}{
		"outside":     {outside, status.InvalidArgument},
		"link out":    {link, status.InvalidArgument},
		"climbing":    {filepath.Join(root, "..", filepath.Base(filepath.Dir(outside)), "f"), status.InvalidArgument},
		"own records": {s.path("files"), status.InvalidArgument},
		"directory":   {s.path("blobs/sha256"), status.InvalidArgument},
		"gone":        {filepath.Join(root, "gone"), status.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.AddFile(t.Context(), tt.path, nil)
			wantCode(t, err, tt.want)
		})
	}
}

func TestAddFileAgain(t *testing.T) {
	s := newStore(t, nil)
	b := randomBytes(4, 2*ChunkSize)
	path := s.BlobPath(digestOf(b))
	write(t, path, b)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	first, err := s.AddFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The same size and time: it is taken for the same file and not read.
	write(t, path, randomBytes(5, 2*ChunkSize))
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if again, err := s.AddFile(t.Context(), path, nil); err != nil || again.CID != first.CID || again.Total != first.Total {
		t.Errorf("again: %+v, %v", again, err)
	}
	// But what it was taken for is never served.
	if _, err := s.ReadBytes(t.Context(), first.CID, 1<<30); err == nil {
		t.Error("changed leaves were served")
	}
	if _, ok := s.files.find(first.CID); ok {
		t.Error("the changed file is still indexed")
	}
	if again, err := s.AddFile(t.Context(), path, nil); err != nil || again.CID == first.CID {
		t.Errorf("after the drop: %+v, %v", again, err)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	b, gone := randomBytes(6, 3*ChunkSize+1), randomBytes(7, ChunkSize)
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	n, m := addBlob(t, s, b), addBlob(t, s, gone)
	if err := os.Remove(s.BlobPath(m.Digest)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if s, err = New(Config{Dir: moved}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.ReadBytes(t.Context(), n.CID, 1<<30); err != nil || !bytes.Equal(got, b) {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
	_, err = s.ReadBytes(t.Context(), m.CID, 1<<30)
	wantCode(t, err, status.NotFound)
	_, err = s.ReadBytes(t.Context(), n.CID, ChunkSize)
	wantCode(t, err, status.InvalidArgument)
	if st, err := os.Stat(moved); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %v, %v", st.Mode(), err)
	}
}

// A leaf that two files share survives the loss of one of them.
func TestSharedLeaf(t *testing.T) {
	s := newStore(t, nil)
	shared := randomBytes(8, ChunkSize)
	a := addBlob(t, s, append(bytes.Clone(shared), 'a'))
	b := addBlob(t, s, append(bytes.Clone(shared), 'b'))
	if err := os.Truncate(s.BlobPath(b.Digest), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadBytes(context.Background(), b.CID, 1<<30); err == nil {
		t.Error("a cut file was read")
	}
	if got, err := s.ReadBytes(t.Context(), a.CID, 1<<30); err != nil || digestOf(got) != a.Digest {
		t.Errorf("the other file: %v", err)
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
