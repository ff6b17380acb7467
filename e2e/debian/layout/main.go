// Command layout packs the root file system of an image, a tar, as an OCI image
// layout of one layer. The same tar and flags give the same bytes.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/p2p/oci"
)

func main() {
	dir := flag.String("o", "", "directory to write the layout to")
	root := flag.String("root", "", "tar of the root file system")
	user := flag.String("user", "", "user, by name or number, that the image's /etc/passwd knows")
	port := flag.String("port", "", "port that the program listens on, such as 80/tcp")
	entrypoint := flag.String("entrypoint", "", "the program; the arguments are its default ones, or without it the command")
	work := flag.String("dir", "/", "working directory")
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	flag.Func("env", "variable as NAME=VALUE; may be given several times", func(v string) error {
		env = append(env, v)
		return nil
	})
	flag.Parse()
	if *dir == "" || *root == "" || *entrypoint == "" && flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: layout -o DIR -root TAR [-entrypoint PROGRAM] [ARGUMENT...]")
		os.Exit(2)
	}
	config := ocispec.ImageConfig{User: *user, Cmd: flag.Args(), WorkingDir: *work, Env: env}
	if *entrypoint != "" {
		config.Entrypoint = []string{*entrypoint}
	}
	if *port != "" {
		config.ExposedPorts = map[string]struct{}{*port: {}}
	}
	if err := write(context.Background(), *dir, *root, config); err != nil {
		fmt.Fprintln(os.Stderr, "layout:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, dir, root string, config ocispec.ImageConfig) error {
	packed := root + ".zst"
	defer os.Remove(packed)
	l, diffID, err := pack(root, packed)
	if err != nil {
		return fmt.Errorf("packing the layer: %w", err)
	}
	doc, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{diffID}},
	})
	if err != nil {
		return err
	}
	img := &oci.Image{Config: doc, ConfigMediaType: ocispec.MediaTypeImageConfig, Layers: []oci.Layer{l}}
	return oci.WriteLayout(ctx, dir, oci.Tagged{Tag: "latest", Image: img})
}

// pack compresses a tar into a layer, and returns the digest of the tar too.
func pack(from, to string) (oci.Layer, string, error) {
	in, err := os.Open(from)
	if err != nil {
		return oci.Layer{}, "", err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return oci.Layer{}, "", err
	}
	defer out.Close()
	plain, packed := sha256.New(), sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(out, packed))
	if err != nil {
		return oci.Layer{}, "", err
	}
	_, err = io.Copy(io.MultiWriter(z, plain), in)
	if err := errors.Join(err, z.Close()); err != nil {
		return oci.Layer{}, "", err
	}
	st, err := out.Stat()
	if err != nil {
		return oci.Layer{}, "", err
	}
	return oci.Layer{
		MediaType: ocispec.MediaTypeImageLayerZstd, Digest: digest(packed), Size: st.Size(),
		Open: func(context.Context) (io.ReadCloser, error) { return os.Open(to) },
	}, digest(plain), nil
}

func digest(h hash.Hash) string { return fmt.Sprintf("sha256:%x", h.Sum(nil)) }
