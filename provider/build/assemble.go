package build

import (
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/p2p/oci"
)

// assemble makes the image of layers that are not compressed, so that their
// digests are their diff ids (OCI image specification 1.1, config.md).
func assemble(req Request, res *Result, c ocispec.ImageConfig, layers ...oci.Layer) error {
	c.User = nonroot
	if res.Port != 0 {
		c.ExposedPorts = map[string]struct{}{strconv.Itoa(int(res.Port)) + "/tcp": {}}
	}
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: req.Platform.OS, Architecture: req.Platform.Architecture, Variant: req.Platform.Variant},
		Config:   c, RootFS: ocispec.RootFS{Type: "layers"},
	}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.Digest(l.Digest))
	}
	return conclude(req, res, config, layers)
}
