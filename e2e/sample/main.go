// Command sample writes the sample app as an OCI image layout, for the demo,
// the scenarios and the benchmarks. With -pad it adds a layer of random bytes.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"apocryph/p2p/oci"
)

func main() {
	dir := flag.String("o", "", "directory to write the layout to")
	pad := flag.Int64("pad", 0, "bytes of random data in a layer of its own")
	layers := flag.Int("layers", 1, "number of layers that the random data is spread over")
	seed := flag.Uint64("seed", 1, "seed of the random data")
	app := flag.String("app", "./e2e/sample/app", "package of the program")
	flag.Parse()
	if *dir == "" {
		fmt.Fprintln(os.Stderr, "usage: sample -o DIR")
		os.Exit(2)
	}
	if err := write(context.Background(), *dir, *app, *pad, *layers, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

// layer is one layer with what its configuration says of it.
type layer struct {
	oci.Layer
	diffID string
}

func write(ctx context.Context, dir, app string, pad int64, n int, seed uint64) error {
	work, err := os.MkdirTemp("", "sample")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	bin := filepath.Join(work, "app")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, app)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the app: %w", err)
	}
	program, err := programLayer(bin, filepath.Join(work, "program"))
	if err != nil {
		return err
	}
	all := []layer{program}
	for i := range n {
		if pad == 0 {
			break
		}
		l, err := paddingLayer(filepath.Join(work, fmt.Sprintf("pad%d", i)), fmt.Sprintf("pad/%d", i), pad/int64(n), seed+uint64(i))
		if err != nil {
			return err
		}
		all = append(all, l)
	}
	config := map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/app"}, "WorkingDir": "/", "Env": []string{"PATH=/"}},
	}
	var diffs []string
	img := &oci.Image{ConfigMediaType: "application/vnd.oci.image.config.v1+json"}
	for _, l := range all {
		diffs = append(diffs, l.diffID)
		img.Layers = append(img.Layers, l.Layer)
	}
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffs}
	if img.Config, err = json.Marshal(config); err != nil {
		return err
	}
	return oci.WriteLayout(ctx, dir, oci.Tagged{Tag: "latest", Image: img})
}

// programLayer is the program at /app, compressed, with fixed times.
func programLayer(bin, path string) (layer, error) {
	b, err := os.ReadFile(bin)
	if err != nil {
		return layer{}, err
	}
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(b))}); err != nil {
		return layer{}, err
	}
	if _, err := w.Write(b); err != nil {
		return layer{}, err
	}
	if err := w.Close(); err != nil {
		return layer{}, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		return layer{}, err
	}
	if err := z.Close(); err != nil {
		return layer{}, err
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		return layer{}, err
	}
	return fileLayer(path, "application/vnd.oci.image.layer.v1.tar+gzip", digest(plain.Bytes()))
}

// paddingLayer is one file of random bytes, which no compression shrinks.
func paddingLayer(path, name string, size int64, seed uint64) (layer, error) {
	f, err := os.Create(path)
	if err != nil {
		return layer{}, err
	}
	defer f.Close()
	h := sha256.New()
	w := tar.NewWriter(io.MultiWriter(f, h))
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
		return layer{}, err
	}
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	if _, err := io.CopyN(w, rand.NewChaCha8(key), size); err != nil {
		return layer{}, err
	}
	if err := w.Close(); err != nil {
		return layer{}, err
	}
	return fileLayer(path, "application/vnd.oci.image.layer.v1.tar", fmt.Sprintf("sha256:%x", h.Sum(nil)))
}

func fileLayer(path, mediaType, diffID string) (layer, error) {
	f, err := os.Open(path)
	if err != nil {
		return layer{}, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return layer{}, err
	}
	return layer{diffID: diffID, Layer: oci.Layer{
		MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", h.Sum(nil)), Size: size,
		Open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) },
	}}, nil
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
