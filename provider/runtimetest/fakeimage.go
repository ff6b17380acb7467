package runtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/containers/ocicrypt"
	encconfig "github.com/containers/ocicrypt/config"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/proto/status"
	"apocryph/provider"
)

type fakeImage struct {
	id     string
	config ocispec.ImageConfig
}

func isEncrypted(l provider.Layer) bool { return strings.HasSuffix(l.MediaType, "+encrypted") }

// openImage checks what can be checked before any layer is here.
func openImage(c provider.ContainerSpec) (fakeImage, error) {
	if c.Image == nil {
		return fakeImage{}, status.New(status.InvalidArgument, "image.malformed", "container %q has no image", c.Name)
	}
	var cfg ocispec.Image
	if err := json.Unmarshal(c.Image.Config, &cfg); err != nil || cfg.OS != "linux" || cfg.Architecture != runtime.GOARCH ||
		len(cfg.RootFS.DiffIDs) != len(c.Image.Layers) || len(c.Image.Layers) == 0 {
		return fakeImage{}, status.New(status.InvalidArgument, "image.malformed", "the image of container %q cannot run here", c.Name)
	}
	img := fakeImage{id: digest.FromBytes(c.Image.Config).String(), config: cfg.Config}
	if want := c.Container.Image.ImageID; want != "" && want != img.id {
		return fakeImage{}, status.New(status.Untrusted, "image.id", "container %q: the image is not that of the manifest", c.Name)
	}
	any := false
	for _, l := range c.Image.Layers {
		if !isEncrypted(l) {
			continue
		}
		any = true
		if _, err := decrypt(c.Key, l, nil, true); err != nil {
			return fakeImage{}, status.Wrap(err, status.Untrusted, "image.key", "container %q: the key does not open its image", c.Name)
		}
	}
	if !any && c.Key != nil {
		return fakeImage{}, status.New(status.Untrusted, "image.plain", "container %q has a key, but no layer of its image is encrypted", c.Name)
	}
	if len(cfg.Config.Entrypoint)+len(cfg.Config.Cmd)+len(c.Command)+len(c.Args) == 0 {
		return fakeImage{}, status.New(status.InvalidArgument, "container.command", "container %q has nothing to run", c.Name)
	}
	return img, nil
}

func decrypt(key []byte, l provider.Layer, r io.Reader, unwrapOnly bool) (io.Reader, error) {
	if key == nil {
		return nil, errors.New("no key")
	}
	cc, err := encconfig.DecryptWithPrivKeys([][]byte{key}, [][]byte{nil})
	if err != nil {
		return nil, err
	}
	out, _, err := ocicrypt.DecryptLayer(cc.DecryptConfig, r, ocispec.Descriptor{MediaType: l.MediaType, Annotations: l.Annotations}, unwrapOnly)
	return out, err
}

// unpack reads all layers of an image and compares them with its configuration.
func unpack(ctx context.Context, c provider.ContainerSpec, report func(provider.Progress)) error {
	var cfg ocispec.Image
	if err := json.Unmarshal(c.Image.Config, &cfg); err != nil {
		return err
	}
	var done, total uint64
	for _, l := range c.Image.Layers {
		total += uint64(l.Size)
	}
	for i, l := range c.Image.Layers {
		got, err := plainDigest(ctx, c.Key, l)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if said := (*status.Error)(nil); errors.As(err, &said) {
			return fmt.Errorf("unpacking layer %d: %w", i, err) // what its source says of it
		}
		if err != nil || got != cfg.RootFS.DiffIDs[i] {
			return status.Wrap(err, status.Untrusted, "image.layer", "layer %d of the image of container %q is damaged", i, c.Name)
		}
		done += uint64(l.Size)
		if report != nil {
			report(provider.Progress{Stage: provider.StageUnpacking, Done: done, Total: total, Source: "local"})
		}
	}
	return nil
}

func plainDigest(ctx context.Context, key []byte, l provider.Layer) (digest.Digest, error) {
	blob, err := l.Open(ctx)
	if err != nil {
		return "", err
	}
	defer blob.Close()
	var r io.Reader = io.NewSectionReader(blob, 0, blob.Size())
	if isEncrypted(l) {
		if r, err = decrypt(key, l, r, false); err != nil {
			return "", err
		}
	}
	tar := r
	switch {
	case strings.Contains(l.MediaType, "gzip"):
		z, err := gzip.NewReader(r)
		if err != nil {
			return "", err
		}
		tar = z
	case strings.Contains(l.MediaType, "zstd"):
		z, err := zstd.NewReader(r)
		if err != nil {
			return "", err
		}
		defer z.Close()
		tar = z
	}
	d, err := digest.FromReader(tar)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return "", fmt.Errorf("reading the end of the layer: %w", err)
	}
	return d, nil
}
