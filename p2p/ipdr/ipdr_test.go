package ipdr

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/manifest"
	"apocryph/p2p/content"
	"apocryph/proto/status"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const layerType = "application/vnd.oci.image.layer.v1.tar+encrypted"

func newHost(t testing.TB) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func newStore(t testing.TB, h host.Host) *content.Store {
	t.Helper()
	s, err := content.New(content.Config{Dir: t.TempDir(), Host: h})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Serving()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// sample is an image of two layers in files of the store.
func sample(t testing.TB, s *content.Store, tag string, sizes ...int) Image {
	t.Helper()
	img := Image{Tag: tag, Config: []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`)}
	m := imageManifest{SchemaVersion: 2, MediaType: ociManifest, Config: descriptor("application/vnd.oci.image.config.v1+json", img.Config)}
	for i, n := range sizes {
		b := make([]byte, n)
		rand.NewChaCha8([32]byte{byte(i), 7}).Read(b)
		d := descriptor(layerType, b)
		path := s.BlobPath(d.Digest)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		img.Layers = append(img.Layers, manifest.Blob{Digest: d.Digest, Size: d.Size, Path: path})
		m.Layers = append(m.Layers, d)
	}
	img.Manifest = encode(t, m)
	return img
}

func descriptor(mediaType string, b []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: digestOf(b), Size: int64(len(b))}
}

// encode leaves out what a manifest of this kind does not have.
func encode(t testing.TB, m imageManifest) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"schemaVersion": m.SchemaVersion, "mediaType": m.MediaType, "config": m.Config, "layers": m.Layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustBuild(t testing.TB, s *content.Store, img Image) cid.Cid {
	t.Helper()
	root, err := Build(t.Context(), s, img)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func wantCode(t testing.TB, err error, want status.Code) {
	t.Helper()
	if got := status.CodeOf(err); got != want {
		t.Errorf("code %v, want %v: %v", got, want, err)
	}
}

// export writes a directory of the store to disk.
func export(t *testing.T, s *content.Store, dir cid.Cid, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	es, err := s.List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		path := filepath.Join(to, e.Name)
		if e.Node.Dir {
			export(t, s, e.Node.CID, path)
			continue
		}
		b, err := s.Open(t.Context(), e.Node.CID)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		b.Close()
		if err == nil {
			err = os.WriteFile(path, all, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLayout(t *testing.T) {
	s := newStore(t, nil)
	img := sample(t, s, "v1.0", 3<<20+5, 100)
	root := mustBuild(t, s, img)
	dir := t.TempDir()
	export(t, s, root, dir)

	var files []string
	filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); !e.IsDir() {
			files = append(files, strings.NewReplacer(
				img.Layers[0].Digest[7:], "L0", img.Layers[1].Digest[7:], "L1", digestOf(img.Config)[7:], "C", digestOf(img.Manifest)[7:], "M",
			).Replace(rel))
		}
		return err
	})
	want := map[string]bool{}
	for _, f := range []string{
		"oci-layout", "index.json", "manifests/latest", "manifests/v1.0", "manifests/sha256:M",
		"blobs/sha256:L0", "blobs/sha256:L1", "blobs/sha256:C", "blobs/sha256/L0", "blobs/sha256/L1", "blobs/sha256/C", "blobs/sha256/M",
	} {
		want[f] = true
	}
	for _, f := range files {
		if !want[f] {
			t.Errorf("unexpected file %s", f)
		}
		delete(want, f)
	}
	if len(want) > 0 {
		t.Errorf("missing files %v", want)
	}

	p, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	ii, err := p.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	im, err := ii.IndexManifest()
	if err != nil || len(im.Manifests) != 1 || im.Manifests[0].Annotations[refAnnotation] != "v1.0" {
		t.Fatalf("index %+v, %v", im, err)
	}
	got, err := ii.Image(im.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := got.RawManifest()
	if err != nil || !bytes.Equal(raw, img.Manifest) {
		t.Errorf("manifest %s, %v", raw, err)
	}
	cfg, err := got.RawConfigFile()
	if err != nil || !bytes.Equal(cfg, img.Config) {
		t.Errorf("configuration %s, %v", cfg, err)
	}
	ls, err := got.Layers()
	if err != nil || len(ls) != 2 {
		t.Fatalf("%d layers, %v", len(ls), err)
	}
	for i, l := range ls {
		if err := validate.Layer(l, validate.Fast); err != nil {
			t.Error(err)
		}
		if d, _ := l.Digest(); d.String() != img.Layers[i].Digest {
			t.Errorf("layer %d is %s", i, d)
		}
	}
	if again := mustBuild(t, s, img); again != root {
		t.Error("another root for the same image")
	}
}

func TestBuildRefuses(t *testing.T) {
	s := newStore(t, nil)
	edit := func(f func(*Image)) Image {
		img := sample(t, s, "t", 1000, 2000)
		f(&img)
		return img
	}
	for name, img := range map[string]Image{
		"no manifest":   edit(func(i *Image) { i.Manifest = nil }),
		"other config":  edit(func(i *Image) { i.Config = append(i.Config, ' ') }),
		"missing layer": edit(func(i *Image) { i.Layers = i.Layers[:1] }),
		"wrong size":    edit(func(i *Image) { i.Layers[0].Size++ }),
		"wrong file":    edit(func(i *Image) { i.Layers[0].Path = i.Layers[1].Path }),
		"outside":       edit(func(i *Image) { i.Layers[0].Path = os.Args[0] }),
		"bad tag":       edit(func(i *Image) { i.Tag = "../x" }),
		"digest as tag": edit(func(i *Image) { i.Tag = digestOf(nil) }),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(t.Context(), s, img)
			wantCode(t, err, status.InvalidArgument)
		})
	}
}

// two are a publisher and a provider to whom everything that is built is granted.
func two(t *testing.T) (pub, prov *content.Store, from func(cid.Cid) content.Origin) {
	t.Helper()
	a, b := newHost(t), newHost(t)
	b.Peerstore().AddAddrs(a.ID(), a.Addrs(), peerstore.PermanentAddrTTL)
	pub, prov = newStore(t, a), newStore(t, b)
	return pub, prov, func(root cid.Cid) content.Origin {
		if err := pub.Grant(root, b.ID()); err != nil {
			t.Fatal(err)
		}
		return content.Origin{Root: root, From: []peer.ID{a.ID()}}
	}
}

func TestOpen(t *testing.T) {
	pub, prov, from := two(t)
	img := sample(t, pub, "", 2<<20+1, 5<<20, 0)
	root := mustBuild(t, pub, img)
	for _, want := range []string{"", digestOf(img.Manifest)} {
		r, err := Open(t.Context(), prov, from(root), want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.Manifest, img.Manifest) || !bytes.Equal(r.Config, img.Config) || r.Digest != digestOf(img.Manifest) || r.MediaType != ociManifest {
			t.Errorf("opened %+v", r)
		}
		if len(r.Layers) != 3 || r.Layers[1].MediaType != layerType {
			t.Fatalf("layers %+v", r.Layers)
		}
		for i, l := range r.Layers {
			b, err := l.Fetch(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
			if err != nil || digestOf(got) != img.Layers[i].Digest {
				t.Errorf("layer %d: %d bytes, %v", i, len(got), err)
			}
			b.Close()
		}
	}
	// The provider can serve all of it now.
	if err := prov.SetPublic(root, true); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	pub, prov, from := two(t)
	ctx := t.Context()
	img := sample(t, pub, "", 1000)
	m := digestOf(img.Manifest)
	add := func(b []byte) content.Node {
		n, err := pub.AddBytes(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	dir := func(es ...content.Entry) content.Node {
		n, err := pub.AddDirectory(ctx, es)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	indexOf := func(ds ...Descriptor) content.Entry {
		b, err := json.Marshal(index{SchemaVersion: 2, Manifests: ds})
		if err != nil {
			t.Fatal(err)
		}
		return content.Entry{Name: "index.json", Node: add(b)}
	}
	blobs := func(es ...content.Entry) content.Entry {
		return content.Entry{Name: "blobs", Node: dir(content.Entry{Name: "sha256", Node: dir(es...)})}
	}
	named := func(digest string, b []byte) content.Entry { return content.Entry{Name: digest[7:], Node: add(b)} }
	is := func(b []byte) content.Entry { return named(digestOf(b), b) }
	good := indexOf(descriptor(ociManifest, img.Manifest))
	layer, err := os.ReadFile(img.Layers[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	nested := bytes.Replace(img.Manifest, []byte(`{`), []byte(`{"schemaVersion":2,`), 1)
	for name, tt := range map[string]struct {
		root   content.Node
		digest string
		want   status.Code
	}{
		"good":            {dir(good, blobs(is(img.Manifest), is(img.Config), is(layer))), "", status.OK},
		"flat names":      {dir(content.Entry{Name: "blobs", Node: dir(content.Entry{Name: digestOf(img.Config), Node: add(img.Config)}, content.Entry{Name: digestOf(layer), Node: add(layer)})}, content.Entry{Name: "manifests", Node: dir(content.Entry{Name: m, Node: add(img.Manifest)})}), m, status.OK},
		"a file":          {add([]byte("x")), m, status.InvalidArgument},
		"empty":           {dir(), "", status.NotFound},
		"empty, digest":   {dir(), m, status.NotFound},
		"bad digest":      {dir(good), "sha256:x", status.InvalidArgument},
		"index not JSON":  {dir(content.Entry{Name: "index.json", Node: add([]byte("{"))}), "", status.InvalidArgument},
		"two manifests":   {dir(indexOf(descriptor("a", nil), descriptor("b", []byte("b")))), "", status.InvalidArgument},
		"other manifest":  {dir(good, blobs(named(m, []byte("{}")), is(img.Config))), "", status.Untrusted},
		"wrong size":      {dir(indexOf(Descriptor{Digest: m, Size: 1}), blobs(is(img.Manifest))), "", status.Untrusted},
		"other config":    {dir(good, blobs(is(img.Manifest), named(digestOf(img.Config), []byte("{}")), is(layer))), "", status.Untrusted},
		"no config":       {dir(good, blobs(is(img.Manifest), is(layer))), "", status.NotFound},
		"no layer":        {dir(good, blobs(is(img.Manifest), is(img.Config))), "", status.NotFound},
		"layer size":      {dir(good, blobs(is(img.Manifest), is(img.Config), named(digestOf(layer), layer[1:]))), "", status.Untrusted},
		"layer directory": {dir(good, blobs(is(img.Manifest), is(img.Config), content.Entry{Name: digestOf(layer)[7:], Node: dir()})), "", status.NotFound},
		"repeated name":   {dir(indexOf(descriptor("", nested)), blobs(is(nested))), "", status.InvalidArgument},
		"huge manifest":   {dir(blobs(named(m, make([]byte, maxManifest+1)))), m, status.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(ctx, prov, from(tt.root.CID), tt.digest)
			wantCode(t, err, tt.want)
		})
	}
}

func FuzzManifest(f *testing.F) {
	d := fmt.Sprintf(`{"mediaType":"x","digest":"%s","size":3}`, digestOf(nil))
	f.Add([]byte(`{"schemaVersion":2,"config":` + d + `,"layers":[` + d + `]}`))
	f.Add([]byte(`{"schemaVersion":2,"SchemaVersion":2}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Add([]byte(`{} {}`))
	f.Add([]byte(`{"config":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Errorf("code of %v", err)
			}
			return
		}
		for _, d := range append(m.Layers, m.Config) {
			if _, ok := hexOf(d.Digest); !ok || d.Size < 0 {
				t.Errorf("descriptor %+v", d)
			}
		}
		_, _ = parseIndex(b)
	})
}
