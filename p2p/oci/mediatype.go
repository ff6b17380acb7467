package oci

import (
	"strings"

	"apocryph/proto/status"
)

// Media types of the OCI image specification 1.1 that are read and written here.
const (
	MediaTypeIndex     = "application/vnd.oci.image.index.v1+json"
	MediaTypeManifest  = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeConfig    = "application/vnd.oci.image.config.v1+json"
	MediaTypeLayer     = "application/vnd.oci.image.layer.v1.tar"
	MediaTypeLayerGzip = MediaTypeLayer + "+gzip"
	MediaTypeLayerZstd = MediaTypeLayer + "+zstd"
	// EncryptedSuffix is what ocicrypt appends to a layer's media type.
	EncryptedSuffix = "+encrypted"
)

// Docker's names for the same things (image manifest version 2, schema 2).
const (
	dockerIndex     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest  = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig    = "application/vnd.docker.container.image.v1+json"
	dockerLayer     = "application/vnd.docker.image.rootfs.diff.tar"
	dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd"
)

func isIndex(mediaType string) bool { return mediaType == MediaTypeIndex || mediaType == dockerIndex }
func isManifest(mediaType string) bool {
	return mediaType == MediaTypeManifest || mediaType == dockerManifest
}

func configMediaType(got, where string) (string, error) {
	switch got {
	case MediaTypeConfig, dockerConfig:
		return MediaTypeConfig, nil
	}
	return "", status.New(status.InvalidArgument, "image.not_an_image",
		"%s is no container image: its configuration is %q, want %q", where, clip(got), MediaTypeConfig)
}

func layerMediaType(got, where string) (string, error) {
	switch plain := strings.TrimSuffix(got, EncryptedSuffix); plain {
	case MediaTypeLayer, MediaTypeLayerGzip, MediaTypeLayerZstd:
		return got, nil
	}
	switch got {
	case dockerLayer:
		return MediaTypeLayer, nil
	case dockerLayerGzip:
		return MediaTypeLayerGzip, nil
	case dockerLayerZstd:
		return MediaTypeLayerZstd, nil
	}
	if strings.Contains(got, ".nondistributable.") || strings.Contains(got, ".foreign.") {
		return "", status.New(status.InvalidArgument, "image.foreign_layer",
			"%s is a foreign layer (%s), whose bytes are not part of the image", where, clip(got)).
			WithHint("build the image on a base whose layers may be distributed")
	}
	return "", status.New(status.InvalidArgument, "image.layer_type", "%s has media type %q, want a tar layer, plain or with gzip or zstd", where, clip(got))
}

// clip bounds a stranger's text in an error.
func clip(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
