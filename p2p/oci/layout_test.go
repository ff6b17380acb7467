package oci

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/proto/status"

	"github.com/google/go-cmp/cmp"
	stock "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestStockToolReadsLayout holds the writer to another implementation.
func TestStockToolReadsLayout(t *testing.T) {
	dir := t.TempDir()
	img := sample(t, amd64, "one", "two")
	// The other tool validates gzip layers only.
	for i, l := range img.Layers {
		img.Layers[i] = layerOf(MediaTypeLayerGzip, gzipOf(t, bytesOf(t, l)))
	}
	writeLayout(t, dir, Tagged{"v1", img})
	index, err := stock.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	got, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	id, err := got.ConfigName()
	if err != nil || id.String() != img.ID() {
		t.Errorf("id %v, error %v", id, err)
	}
}

func TestTags(t *testing.T) {
	dir := t.TempDir()
	one, two := sample(t, amd64, "one"), sample(t, amd64, "two")
	writeLayout(t, dir, Tagged{"v1", one}, Tagged{"example.com/app:v2", two})
	for ref, want := range map[string]*Image{"oci:" + dir + ":v1": one, "oci:" + dir + ":v2": two} {
		if got := mustRead(t, ref, Options{Platform: amd64}); got.ID() != want.ID() {
			t.Errorf("%s is the wrong image", ref)
		}
	}
	_, err := read(t, "oci:"+dir+":v3", Options{Platform: amd64})
	refused(t, err, status.NotFound, `"v3"`, "example.com/app:v2, v1")
	_, err = read(t, "oci:"+dir, Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "several images", "v1", ":TAG")
	_, err = read(t, "oci:"+dir+"@"+digestOf([]byte("x")), Options{Platform: amd64})
	refused(t, err, status.NotFound, digestOf([]byte("x")))
}

// layoutWith writes a layout whose index has exactly these descriptors.
type layoutWith struct {
	t   *testing.T
	dir string
}

func newLayout(t *testing.T) layoutWith { return layoutWith{t, t.TempDir()} }

func (l layoutWith) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digestOf(data)
	write(l.t, filepath.Join(l.dir, blobName(d)), data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(d), Size: int64(len(data))}
}

func (l layoutWith) json(mediaType string, v any) ocispec.Descriptor {
	data, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.blob(mediaType, data)
}

func (l layoutWith) index(descs ...ocispec.Descriptor) string {
	data, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": descs})
	if err != nil {
		l.t.Fatal(err)
	}
	write(l.t, filepath.Join(l.dir, "index.json"), data)
	return "oci:" + l.dir
}

func (l layoutWith) image(img *Image, change func(m map[string]any)) ocispec.Descriptor {
	for _, layer := range img.Layers {
		l.blob(layer.MediaType, bytesOf(l.t, layer))
	}
	l.blob(MediaTypeConfig, img.Config)
	data, err := img.Manifest()
	if err != nil {
		l.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		l.t.Fatal(err)
	}
	if change != nil {
		change(m)
	}
	mediaType, _ := m["mediaType"].(string)
	return l.json(mediaType, m)
}

func TestDockerTypesAreTranslated(t *testing.T) {
	l := newLayout(t)
	img := sample(t, amd64, "one", "two", "three")
	ref := l.index(l.image(img, func(m map[string]any) {
		m["mediaType"] = dockerManifest
		m["config"].(map[string]any)["mediaType"] = dockerConfig
		for i, mt := range []string{dockerLayer, dockerLayerGzip, dockerLayerZstd} {
			m["layers"].([]any)[i].(map[string]any)["mediaType"] = mt
		}
	}))
	got := mustRead(t, ref, Options{Platform: amd64})
	want := []string{MediaTypeLayer, MediaTypeLayerGzip, MediaTypeLayerZstd}
	if diff := cmp.Diff(want, contentsOf(t, got).Types); diff != "" {
		t.Error(diff)
	}
	if got.ConfigMediaType != MediaTypeConfig || got.ID() != img.ID() {
		t.Errorf("config is %s with id %s", got.ConfigMediaType, got.ID())
	}
}

func TestRefusedManifests(t *testing.T) {
	layer := func(m map[string]any, i int) map[string]any { return m["layers"].([]any)[i].(map[string]any) }
	for name, c := range map[string]struct {
		change func(m map[string]any)
		names  []string
	}{
		"foreign layer": {func(m map[string]any) {
			layer(m, 0)["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
		}, []string{"foreign"}},
		"nondistributable layer": {func(m map[string]any) {
			layer(m, 0)["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
		}, []string{"foreign"}},
		"unknown layer": {func(m map[string]any) { layer(m, 0)["mediaType"] = "text/plain" }, []string{"text/plain"}},
		"artifact": {func(m map[string]any) {
			m["config"].(map[string]any)["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
		}, []string{"no container image", "helm"}},
		"no config":      {func(m map[string]any) { delete(m, "config") }, []string{"no config"}},
		"both kinds":     {func(m map[string]any) { m["manifests"] = []any{} }, []string{"both"}},
		"schema 1":       {func(m map[string]any) { m["schemaVersion"] = 1 }, []string{"schemaVersion"}},
		"sha512":         {func(m map[string]any) { layer(m, 0)["digest"] = "sha512:" + strings.Repeat("a", 128) }, []string{"sha512", "want sha256"}},
		"path in digest": {func(m map[string]any) { layer(m, 0)["digest"] = "sha256:../../../../etc/passwd" }, []string{"want sha256"}},
		"negative size":  {func(m map[string]any) { layer(m, 0)["size"] = -1 }, []string{"-1 bytes"}},
		"huge layer":     {func(m map[string]any) { layer(m, 0)["size"] = MaxLayerSize + 1 }, []string{"at most"}},
		"huge config":    {func(m map[string]any) { m["config"].(map[string]any)["size"] = MaxConfig + 1 }, []string{"at most"}},
		"layer too many": {func(m map[string]any) { m["layers"] = append(m["layers"].([]any), m["layers"].([]any)[0]) }, []string{"has 2 layers and its configuration 1"}},
		"129 layers":     {func(m map[string]any) { m["layers"] = many(m["layers"].([]any)[0], MaxLayers+1) }, []string{"129 layers", "128"}},
		"huge image": {func(m map[string]any) {
			layer(m, 0)["size"] = MaxLayerSize
			m["layers"] = many(m["layers"].([]any)[0], 3)
		}, []string{"together"}},
		"config is missing":  {func(m map[string]any) { m["config"].(map[string]any)["digest"] = digestOf([]byte("gone")) }, []string{"missing", "save or copy"}},
		"config is no JSON":  {nil, []string{"not valid JSON"}},
		"another media type": {func(m map[string]any) { m["mediaType"] = MediaTypeIndex }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			img := sample(t, amd64, "one")
			if c.change == nil {
				img.Config = []byte("{")
			}
			d := l.image(img, c.change)
			d.MediaType = MediaTypeManifest
			_, err := read(t, l.index(d), Options{Platform: amd64})
			code := status.InvalidArgument
			if name == "config is missing" {
				code = status.NotFound
			}
			refused(t, err, code, c.names...)
		})
	}
}

func many(x any, n int) []any {
	var all []any
	for range n {
		all = append(all, x)
	}
	return all
}

func TestIndexCaps(t *testing.T) {
	l := newLayout(t)
	d := l.image(sample(t, amd64, "one"), nil)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	var descs []ocispec.Descriptor
	for range maxDescriptors + 1 {
		descs = append(descs, d)
	}
	_, err := read(t, l.index(descs...), Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "more than 1024 manifests")
	for i := range descs {
		descs[i].Platform = nil
	}
	_, err = read(t, l.index(descs[:maxProbes+1]...), Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "without a platform")
	write(t, filepath.Join(l.dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[`+strings.Repeat(" ", MaxManifest)+`]}`))
	_, err = read(t, "oci:"+l.dir, Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "index.json", "at most")
}
