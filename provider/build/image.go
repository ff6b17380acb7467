package build

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// image takes an image as it is.
func (b *Builder) image(ctx context.Context, req Request, res *Result) error {
	img, err := oci.ReadArchive(ctx, req.Archive, req.ArchiveSize, "the uploaded archive", req.Platform)
	if err != nil {
		return err
	}
	return describe(img, res)
}

// describe says of an image what a deploy wants to know.
func describe(img *oci.Image, res *Result) error {
	for i, l := range img.Layers {
		if strings.HasSuffix(l.MediaType, oci.EncryptedSuffix) {
			return status.New(status.InvalidArgument, "build.encrypted", "layers[%d]: got an encrypted layer, want plain ones", i).
				WithHint("upload the image before it was encrypted")
		}
	}
	var c ocispec.Image
	if err := json.Unmarshal(img.Config, &c); err != nil {
		return status.Wrap(err, status.InvalidArgument, "build.config", "the configuration of the image is not valid JSON")
	}
	res.Image, res.User = img, c.Config.User
	res.because("image %s for %s with %d layers", img.ID(), img.Platform, len(img.Layers))
	if name, _, _ := strings.Cut(c.Config.User, ":"); name == "" || name == "0" || name == "root" {
		res.warn("the image runs as root")
	}
	if len(c.Config.Entrypoint) == 0 && len(c.Config.Cmd) == 0 {
		res.warn("the image has neither entrypoint nor command")
	}
	var ports []uint16
	for p := range c.Config.ExposedPorts {
		number, protocol, _ := strings.Cut(p, "/")
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && n > 0 && (protocol == "" || protocol == "tcp") {
			ports = append(ports, uint16(n))
		}
	}
	if len(ports) == 1 {
		res.Port = ports[0]
		res.because("port %d: the image exposes it", res.Port)
	}
	return nil
}
