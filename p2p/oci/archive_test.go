package oci

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/proto/status"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestDockerLayerTwice(t *testing.T) {
	dir := t.TempDir()
	img := sample(t, amd64, "same", "same")
	img = sampleTwice(t, img)
	write(t, filepath.Join(dir, "a.tar"), dockerSave(t, "", img))
	got := mustRead(t, "docker-archive:a.tar", Options{Dir: dir, Platform: amd64})
	if diff := cmp.Diff(contentsOf(t, img), contentsOf(t, got)); diff != "" {
		t.Error(diff)
	}
}

func TestDockerSaveWithBlobs(t *testing.T) {
	dir := t.TempDir()
	img := sample(t, amd64, "one", "two", "three")
	plainLayer, gz, zst := bytesOf(t, img.Layers[0]), gzipOf(t, bytesOf(t, img.Layers[1])), zstdOf(t, bytesOf(t, img.Layers[2]))
	blob := func(data []byte) tarFile { return tarFile{name: blobName(digestOf(data)), data: data} }
	config, a, b, c := blob(img.Config), blob(plainLayer), blob(gz), blob(zst)
	saved := []savedImage{{Config: config.name, RepoTags: []string{"app:1"}, Layers: []string{a.name, b.name, c.name}}}
	write(t, filepath.Join(dir, "a.tar"), tarOf(t, tarFile{name: "manifest.json", data: toJSON(t, saved)}, config, a, b, c))
	got := contentsOf(t, mustRead(t, "docker-archive:a.tar", Options{Dir: dir, Platform: amd64}))
	want := contents{
		ID: img.ID(), ConfigMediaType: MediaTypeConfig, Platform: amd64,
		Types:   []string{MediaTypeLayer, MediaTypeLayerGzip, MediaTypeLayerZstd},
		Digests: []string{digestOf(plainLayer), digestOf(gz), digestOf(zst)},
		Data:    []string{string(plainLayer), string(gz), string(zst)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestStockToolWritesDockerArchive reads what another implementation wrote,
// which compresses layers and names them by digest.
func TestStockToolWritesDockerArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	img, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("example.com/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		t.Fatal(err)
	}
	got := mustRead(t, "docker-archive:"+path+":example.com/app:1", Options{Platform: amd64})
	if id, err := img.ConfigName(); err != nil || id.String() != got.ID() {
		t.Errorf("id %s, want %s, error %v", got.ID(), id, err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		if want, err := l.Digest(); err != nil || got.Layers[i].Digest != want.String() {
			t.Errorf("layer %d is %s, want %s, error %v", i, got.Layers[i].Digest, want, err)
		}
	}
	if err := drain(t, got); err != nil {
		t.Error(err)
	}
}

func TestDockerArchiveOfSeveral(t *testing.T) {
	dir := t.TempDir()
	arm := Platform{OS: "linux", Architecture: "arm64"}
	write(t, filepath.Join(dir, "a.tar"), dockerSave(t, "app:1", sample(t, amd64, "x"), sample(t, arm, "y")))
	if got := mustRead(t, "docker-archive:a.tar", Options{Dir: dir, Platform: arm}); got.Platform != arm {
		t.Errorf("platform is %v", got.Platform)
	}
	_, err := read(t, "docker-archive:a.tar:other", Options{Dir: dir, Platform: amd64})
	refused(t, err, status.NotFound, "other", "app:1")
	_, err = read(t, "docker-archive:a.tar", Options{Dir: dir, Platform: Platform{OS: "linux", Architecture: "s390x"}})
	refused(t, err, status.InvalidArgument, "linux/s390x", "linux/amd64, linux/arm64", "--platform")
	write(t, filepath.Join(dir, "b.tar"), dockerSave(t, "app:1", sample(t, amd64, "x"), sample(t, amd64, "y")))
	_, err = read(t, "docker-archive:b.tar", Options{Dir: dir, Platform: amd64})
	refused(t, err, status.InvalidArgument, "several images", "app:1")
}

func TestRefusedArchives(t *testing.T) {
	img := sample(t, amd64, "one")
	hex := strings.TrimPrefix(img.ID(), "sha256:")
	config := tarFile{name: hex + ".json", data: img.Config}
	layer := tarFile{name: "l.tar", data: bytesOf(t, img.Layers[0])}
	manifest := func(s ...savedImage) tarFile { return tarFile{name: "manifest.json", data: toJSON(t, s)} }
	good := savedImage{Config: config.name, Layers: []string{"l.tar"}}
	other := tarFile{name: config.name, data: append([]byte(" "), img.Config...)}
	tooMany := good
	tooMany.Layers = strings.Split(strings.Repeat("l.tar,", MaxLayers)+"l.tar", ",")
	big := tarFile{name: "manifest.json", data: bytes.Repeat([]byte(" "), MaxManifest+1)}
	ok := tarOf(t, manifest(good), config, layer)
	for name, c := range map[string]struct {
		data  []byte
		names []string
	}{
		"empty":             {nil, []string{"no tar archive"}},
		"no archive":        {bytes.Repeat([]byte("x"), 2048), []string{"no tar archive"}},
		"xz":                {[]byte("\xfd7zXZ\x00rest"), []string{"xz", "decompress"}},
		"bzip2":             {[]byte("BZh9rest"), []string{"bzip2"}},
		"no manifest":       {tarOf(t, config, layer), []string{"no manifest.json"}},
		"oci archive":       {tarOf(t, tarFile{name: "index.json", data: []byte("{}")}), []string{"oci-archive:"}},
		"bad manifest":      {tarOf(t, tarFile{name: "manifest.json", data: []byte("{}")}), []string{"manifest.json is not valid"}},
		"big manifest":      {tarOf(t, big), []string{"at most"}},
		"no images":         {tarOf(t, manifest()), []string{"0 images"}},
		"no config":         {tarOf(t, manifest(savedImage{Layers: []string{"l.tar"}}), layer), []string{"without Config"}},
		"config missing":    {tarOf(t, manifest(good), layer), []string{"missing", hex}},
		"config altered":    {tarOf(t, manifest(good), other, layer), []string{"was altered", hex}},
		"layer missing":     {tarOf(t, manifest(good), config), []string{"l.tar", "missing"}},
		"layer altered":     {tarOf(t, manifest(good), config, tarFile{name: "l.tar", data: flip(layer.data)}), []string{"l.tar was altered", img.Layers[0].Digest}},
		"layer of xz":       {tarOf(t, manifest(good), config, tarFile{name: "l.tar", data: []byte("\xfd7zXZ\x00rest")}), []string{"xz"}},
		"layers differ":     {tarOf(t, manifest(savedImage{Config: config.name}), config), []string{"has 0 layers, its configuration 1"}},
		"too many layers":   {tarOf(t, manifest(tooMany), config, layer), []string{"129"}},
		"links in a circle": {tarOf(t, manifest(good), config, tarFile{name: "l.tar", link: "m.tar"}, tarFile{name: "m.tar", link: "l.tar"}), []string{"too many links"}},
		"link outside":      {tarOf(t, manifest(good), config, tarFile{name: "l.tar", link: "../../../../etc/passwd"}), []string{"missing"}},
		"truncated":         {ok[:len(ok)-2048], []string{"a.tar"}},
		"truncated gzip":    {gzipOf(t, ok)[:100], []string{"truncated"}},
		"truncated zstd":    {zstdOf(t, ok)[:100], []string{"truncated"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a.tar"), c.data)
			got, err := read(t, "docker-archive:a.tar", Options{Dir: dir, Platform: amd64})
			if err == nil {
				err = drain(t, got)
			}
			code := status.InvalidArgument
			if strings.HasSuffix(name, "missing") || name == "link outside" {
				code = status.NotFound
			}
			refused(t, err, code, c.names...)
		})
	}
}

func TestArchiveWithTooManyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	files := make([]tarFile, maxEntries+2)
	for i := range files {
		files[i].name = "x"
	}
	write(t, path, gzipOf(t, tarOf(t, files...)))
	_, err := read(t, "oci-archive:"+path, Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "more than 65536 files")
}

// TestArchiveChangedUnderneath swaps the archive between listing and reading.
func TestArchiveChangedUnderneath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	write(t, path, dockerSave(t, "", sample(t, amd64, "one")))
	img := mustRead(t, "docker-archive:"+path, Options{Platform: amd64})
	write(t, path, dockerSave(t, "", sample(t, amd64, "two")))
	refused(t, drain(t, img), status.InvalidArgument, "altered", img.Layers[0].Digest)
	write(t, path, nil)
	refused(t, drain(t, img), status.InvalidArgument, "truncated", img.Layers[0].Digest)
}

func TestCanceledArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	write(t, path, gzipOf(t, dockerSave(t, "", sample(t, amd64, "one"))))
	img := mustRead(t, "docker-archive:"+path, Options{Platform: amd64})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := img.Layers[0].Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("opening: %v", err)
	}
	if _, err := Read(ctx, Reference{Transport: DockerArchive, Path: path}, Options{Platform: amd64}); !errors.Is(err, context.Canceled) {
		t.Errorf("reading: %v", err)
	}
}
