package oci

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"apocryph/proto/status"
)

func TestVerify(t *testing.T) {
	data := []byte("some bytes of a layer")
	for name, c := range map[string]struct {
		data []byte
		size int64
		want string
	}{
		"right":     {data, int64(len(data)), ""},
		"altered":   {flip(data), int64(len(data)), "altered"},
		"truncated": {data[:5], int64(len(data)), "truncated"},
		"longer":    {append(bytes.Clone(data), 'x'), int64(len(data)), "longer"},
		"empty":     {nil, int64(len(data)), "truncated"},
		"not empty": {data, 0, "longer"},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				r := Verify(io.NopCloser(wrap(bytes.NewReader(c.data))), digestOf(data), c.size, "file x")
				got, err := io.ReadAll(r)
				if c.want == "" {
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("got %q, error %v", got, err)
					}
					return
				}
				refused(t, err, status.InvalidArgument, "file x", c.want, digestOf(data))
				if _, again := r.Read(make([]byte, 1)); again == nil || again == io.EOF {
					t.Errorf("reading on: %v", again)
				}
			})
		}
	}
}

// TestVerdictComesWithTheLastByte is for readers that count and never see io.EOF.
func TestVerdictComesWithTheLastByte(t *testing.T) {
	data := []byte("some bytes of a layer")
	r := Verify(io.NopCloser(bytes.NewReader(flip(data))), digestOf(data), int64(len(data)), "file x")
	_, err := r.Read(make([]byte, len(data)))
	refused(t, err, status.InvalidArgument, "altered")
}

func TestVerifyEmpty(t *testing.T) {
	if _, err := io.ReadAll(Verify(io.NopCloser(bytes.NewReader(nil)), digestOf(nil), 0, "x")); err != nil {
		t.Error(err)
	}
	_, err := io.ReadAll(Verify(io.NopCloser(bytes.NewReader(nil)), digestOf([]byte("x")), 0, "x"))
	refused(t, err, status.InvalidArgument, "altered")
	broken := errors.New("disk on fire")
	_, err = io.ReadAll(Verify(io.NopCloser(iotest.ErrReader(broken)), digestOf(nil), 5, "file x"))
	refused(t, err, status.InvalidArgument, "file x")
	if !errors.Is(err, broken) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// TestLayersAreStreamed reads 24 MiB layers and counts all that was ever allocated.
func TestLayersAreStreamed(t *testing.T) {
	const size, most = 24 << 20, 8 << 20
	dir := t.TempDir()
	img := sample(t, amd64, strings.Repeat("0123456789abcdef", size/16))
	writeLayout(t, filepath.Join(dir, "layout"), Tagged{"", img})
	write(t, filepath.Join(dir, "a.tar"), dockerSave(t, "", img))
	write(t, filepath.Join(dir, "a.tgz"), gzipOf(t, dockerSave(t, "", img)))
	for _, ref := range []string{"oci:layout", "docker-archive:a.tar", "docker-archive:a.tgz"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := drain(t, mustRead(t, ref, Options{Dir: dir, Platform: amd64})); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%s allocated %d bytes, want at most %d", ref, got, most)
		}
	}
}

func TestWriteLayoutChecks(t *testing.T) {
	img := sample(t, amd64, "one")
	img.Layers[0].Digest = digestOf([]byte("other"))
	dir := t.TempDir()
	err := WriteLayout(t.Context(), dir, Tagged{"", img})
	if status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("got %v", err)
	}
	left, globErr := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if globErr != nil || len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	img.Layers[0].Digest = "sha256:../../x"
	refused(t, WriteLayout(t.Context(), dir, Tagged{"", img}), status.InvalidArgument, "want sha256")
}
