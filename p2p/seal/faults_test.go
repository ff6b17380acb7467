package seal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

func TestPlainLayerThatIsNotWhatItSays(t *testing.T) {
	for name, change := range map[string]func(l *oci.Layer){
		"altered":   func(l *oci.Layer) { *l = withData(*l, bytes.ToUpper(text(1000, "plain"))) },
		"truncated": func(l *oci.Layer) { *l = withData(*l, text(999, "plain")) },
		"longer":    func(l *oci.Layer) { *l = withData(*l, text(1001, "plain")) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			l := layer(oci.MediaTypeLayer, text(1000, "plain"))
			change(&l)
			_, err := f.Seal(t.Context(), imageOf(l), nil)
			if status.CodeOf(err) != status.InvalidArgument || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), l.Digest) || !strings.Contains(err.Error(), "oci:/images/app") {
				t.Errorf("got %v", err)
			}
			f.nothingLeft(t)
		})
	}
}

// liar says that it verifies another digest, so it must be verified here.
type liar struct{ io.ReadCloser }

func (liar) Verifies() string { return "sha256:other" }

func TestVerifyingReaderOfAnotherDigest(t *testing.T) {
	f := newFixture(t)
	l := layer(oci.MediaTypeLayer, text(10, "x"))
	l.Open = func(context.Context) (io.ReadCloser, error) {
		return liar{io.NopCloser(bytes.NewReader(text(10, "y")))}, nil
	}
	if _, err := f.Seal(t.Context(), imageOf(l), nil); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

func withData(l oci.Layer, data []byte) oci.Layer {
	l.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	return l
}

func TestRefusedImages(t *testing.T) {
	good := layer(oci.MediaTypeLayer, []byte("x"))
	for name, c := range map[string]struct {
		change func(*oci.Image)
		names  []string
	}{
		"encrypted":       {func(i *oci.Image) { i.Layers[0].MediaType += oci.EncryptedSuffix }, []string{"layers[0].mediaType"}},
		"docker type":     {func(i *oci.Image) { i.Layers[0].MediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip" }, []string{"mediaType"}},
		"no config":       {func(i *oci.Image) { i.Config = nil }, []string{"config: got 0 bytes"}},
		"big config":      {func(i *oci.Image) { i.Config = make([]byte, oci.MaxConfig+1) }, []string{"config"}},
		"config type":     {func(i *oci.Image) { i.ConfigMediaType = "x" }, []string{"config media type"}},
		"bad digest":      {func(i *oci.Image) { i.Layers[0].Digest = "sha256:../../x" }, []string{"layers[0].digest"}},
		"negative size":   {func(i *oci.Image) { i.Layers[0].Size = -1 }, []string{"layers[0].size"}},
		"too many layers": {func(i *oci.Image) { i.Layers = slicesRepeat(good, oci.MaxLayers+1) }, []string{"129"}},
		"all at once":     {func(i *oci.Image) { i.Config = nil; i.Layers[0].Size = -1; i.Layers[0].Digest = "" }, []string{"3 faults"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			img := imageOf(good)
			c.change(img)
			_, err := f.Seal(t.Context(), img, nil)
			if status.CodeOf(err) != status.InvalidArgument {
				t.Fatalf("got %v", err)
			}
			for _, n := range c.names {
				if !strings.Contains(err.Error(), n) {
					t.Errorf("%v does not name %s", err, n)
				}
			}
			f.nothingLeft(t)
		})
	}
	if _, err := New(Config{}); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("without a directory: %v", err)
	}
}

func slicesRepeat(l oci.Layer, n int) []oci.Layer {
	var all []oci.Layer
	for range n {
		all = append(all, l)
	}
	return all
}

// full is a file on a full disk.
type full struct {
	file
	left int
}

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.file.Write(p)
}

func TestDiskFull(t *testing.T) {
	f := newFixture(t)
	f.create = func(dir string) (file, error) {
		inner, err := createTemp(dir)
		return &full{inner, 2 * chunk}, err
	}
	_, err := f.Seal(t.Context(), imageOf(layer(oci.MediaTypeLayer, text(4*chunk, "xy"))), nil)
	var s *status.Error
	if status.CodeOf(err) != status.ResourceExhausted || !errors.As(err, &s) || s.Hint == "" || !strings.Contains(err.Error(), f.dir) {
		t.Errorf("got %v", err)
	}
	f.nothingLeft(t)
	f.create = func(string) (file, error) { return nil, &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC} }
	if _, err := f.Seal(t.Context(), imageOf(layer(oci.MediaTypeLayer, []byte("x"))), nil); status.CodeOf(err) != status.ResourceExhausted {
		t.Errorf("got %v", err)
	}
}

func TestReadError(t *testing.T) {
	f := newFixture(t)
	broken := status.New(status.Unavailable, "image.registry", "gone")
	l := layer(oci.MediaTypeLayer, text(1000, "x"))
	l.Open = func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(text(500, "x")), iotest.ErrReader(broken))), nil
	}
	if _, err := f.Seal(t.Context(), imageOf(l), nil); status.CodeOf(err) != status.Unavailable {
		t.Errorf("got %v", err)
	}
	l.Open = func(context.Context) (io.ReadCloser, error) { return nil, broken }
	if _, err := f.Seal(t.Context(), imageOf(l), nil); status.CodeOf(err) != status.Unavailable || !strings.Contains(err.Error(), l.Digest) {
		t.Errorf("got %v", err)
	}
	f.nothingLeft(t)
}

// TestCanceled ends a Seal whose layer never comes to an end.
func TestCanceled(t *testing.T) {
	f := newFixture(t)
	l := layer(oci.MediaTypeLayer, []byte("x"))
	l.Size = oci.MaxLayerSize
	ctx, cancel := context.WithCancel(t.Context())
	l.Open = func(ctx context.Context) (io.ReadCloser, error) { return io.NopCloser(endless{ctx}), nil }
	_, err := f.Seal(ctx, imageOf(l), func(done, _ int64) {
		if done > 4*chunk {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	f.nothingLeft(t)
}

type endless struct{ ctx context.Context }

func (e endless) Read(p []byte) (int, error) { return len(p), e.ctx.Err() }
