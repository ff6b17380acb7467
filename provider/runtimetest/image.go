package runtimetest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/containers/ocicrypt"
	encconfig "github.com/containers/ocicrypt/config"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/provider"
)

// Probe is where the test program is in a test image.
const Probe = "/probe"

// File is a file of a test image.
type File struct {
	Name string
	Mode int64
	Data []byte
	// Link makes it a symbolic link.
	Link string
	// Type is a tar type flag, 0 for what the other fields say.
	Type byte
}

// Image describes a test image: the probe in its first layer, more files in
// further ones.
type Image struct {
	Config ocispec.ImageConfig
	// Layers are further layers, above the one with the probe.
	Layers [][]File
	// Plain leaves the layers unencrypted.
	Plain bool
}

var probe struct {
	once sync.Once
	data []byte
	err  error
}

// buildProbe compiles the test program, once per process.
func buildProbe(tb testing.TB) []byte {
	tb.Helper()
	probe.once.Do(func() {
		dir, err := os.MkdirTemp("", "probe")
		if err != nil {
			probe.err = err
			return
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "probe")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "apocryph/provider/runtimetest/probe")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if msg, err := cmd.CombinedOutput(); err != nil {
			probe.err = &exec.Error{Name: string(msg), Err: err}
			return
		}
		probe.data, probe.err = os.ReadFile(out)
	})
	if probe.err != nil {
		tb.Fatal(probe.err)
	}
	return probe.data
}

// NewKey makes a pair of keys for an image: PKIX and PKCS #8, both DER.
func NewKey(tb testing.TB) (public, private []byte) {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if public, err = x509.MarshalPKIXPublicKey(&k.PublicKey); err != nil {
		tb.Fatal(err)
	}
	if private, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		tb.Fatal(err)
	}
	return public, private
}

// Build makes an image and the private key that opens it, nil for a plain one.
func Build(tb testing.TB, img Image) (*provider.Image, []byte) {
	tb.Helper()
	var public, private []byte
	if !img.Plain {
		public, private = NewKey(tb)
	}
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config:   img.Config,
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	out := &provider.Image{}
	base := []File{{Name: "probe", Mode: 0o755, Data: buildProbe(tb)}, {Name: "tmp", Mode: 0o1777, Type: tar.TypeDir}}
	for _, files := range append([][]File{base}, img.Layers...) {
		plain := tarOf(tb, files)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
		out.Layers = append(out.Layers, layerOf(tb, plain, public))
	}
	var err error
	if out.Config, err = json.Marshal(config); err != nil {
		tb.Fatal(err)
	}
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(out.Config), Size: int64(len(out.Config))},
	}
	m.SchemaVersion = 2
	for _, l := range out.Layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: digest.Digest(l.Digest), Size: l.Size, Annotations: l.Annotations})
	}
	if out.Manifest, err = json.Marshal(m); err != nil {
		tb.Fatal(err)
	}
	return out, private
}

func tarOf(tb testing.TB, files []File) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: f.Mode, Size: int64(len(f.Data)), Typeflag: tar.TypeReg, Linkname: f.Link}
		if f.Link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if f.Type != 0 {
			h.Typeflag = f.Type
		}
		if err := w.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(f.Data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// layerOf compresses a layer, and encrypts it to a public key if there is one.
func layerOf(tb testing.TB, plain, public []byte) provider.Layer {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	stored, media := b.Bytes(), ocispec.MediaTypeImageLayerGzip
	var notes map[string]string
	if public != nil {
		cc, err := encconfig.EncryptWithJwe([][]byte{pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})})
		if err != nil {
			tb.Fatal(err)
		}
		desc := ocispec.Descriptor{MediaType: media, Digest: digest.FromBytes(stored), Size: int64(len(stored))}
		r, finish, err := ocicrypt.EncryptLayer(cc.EncryptConfig, bytes.NewReader(stored), desc)
		if err != nil {
			tb.Fatal(err)
		}
		if stored, err = io.ReadAll(r); err != nil {
			tb.Fatal(err)
		}
		if notes, err = finish(); err != nil {
			tb.Fatal(err)
		}
		media += "+encrypted"
	}
	return Layer(media, stored, notes)
}

// Layer is a layer in memory.
func Layer(media string, data []byte, notes map[string]string) provider.Layer {
	return provider.Layer{
		MediaType: media, Digest: digest.FromBytes(data).String(), Size: int64(len(data)), Annotations: notes,
		Open: func(context.Context) (provider.ReadAtCloser, error) { return memory{bytes.NewReader(data)}, nil },
	}
}

type memory struct{ *bytes.Reader }

// Close does nothing.
func (memory) Close() error { return nil }
