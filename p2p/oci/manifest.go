package oci

import (
	"context"
	"encoding/json"
	"io"
	"maps"

	"apocryph/proto/status"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// document is an index or a manifest. Both are parsed at once, so that what
// is both can be refused (CVE-2021-41190).
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Annotations   map[string]string    `json:"annotations"`
}

func parseDocument(data []byte, mediaType, where string) (*document, error) {
	invalid := func(format string, args ...any) (*document, error) {
		return nil, status.New(status.InvalidArgument, "image.manifest", "%s: "+format, append([]any{where}, args...)...)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.manifest", "%s is not valid JSON", where)
	}
	if d.SchemaVersion != 2 {
		return invalid("schemaVersion: got %d, want 2", d.SchemaVersion)
	}
	if d.MediaType != "" && mediaType != "" && d.MediaType != mediaType {
		return invalid("mediaType: got %q, want %q as its descriptor says", clip(d.MediaType), clip(mediaType))
	}
	if d.Manifests != nil && (d.Config != nil || d.Layers != nil) {
		return invalid("it is both an index and a manifest")
	}
	return &d, nil
}

// readManifest reads a manifest and its configuration and checks the layers' descriptors.
func readManifest(ctx context.Context, src source, d ocispec.Descriptor) (*Image, error) {
	data, err := readBlob(ctx, src, d, MaxManifest, true)
	if err != nil {
		return nil, err
	}
	where := src.where(d)
	doc, err := parseDocument(data, d.MediaType, where)
	if err != nil {
		return nil, err
	}
	if doc.Config == nil {
		return nil, status.New(status.InvalidArgument, "image.manifest", "%s has no config", where)
	}
	img := &Image{Digest: d.Digest.String(), Annotations: maps.Clone(doc.Annotations)}
	if img.ConfigMediaType, err = configMediaType(doc.Config.MediaType, where); err != nil {
		return nil, err
	}
	if len(doc.Layers) > MaxLayers {
		return nil, tooManyLayers(where, len(doc.Layers))
	}
	var total int64
	for _, l := range doc.Layers {
		layer, err := newLayer(src, l)
		if err != nil {
			return nil, err
		}
		if total += l.Size; total > MaxImageSize {
			return nil, status.New(status.InvalidArgument, "image.size", "the layers in %s have %d bytes together, want at most %d", where, total, int64(MaxImageSize))
		}
		img.Layers = append(img.Layers, layer)
	}
	if img.Config, err = readBlob(ctx, src, *doc.Config, MaxConfig, false); err != nil {
		return nil, err
	}
	facts, err := parseConfig(img.Config, src.where(*doc.Config))
	if err != nil {
		return nil, err
	}
	if len(facts.DiffIDs) != len(img.Layers) {
		return nil, status.New(status.InvalidArgument, "image.layers", "%s has %d layers and its configuration %d", where, len(img.Layers), len(facts.DiffIDs))
	}
	img.Platform = facts.Platform
	return img, nil
}

func newLayer(src source, d ocispec.Descriptor) (Layer, error) {
	where := src.where(d)
	mediaType, err := layerMediaType(d.MediaType, where)
	if err != nil {
		return Layer{}, err
	}
	if err := checkDescriptor(d, MaxLayerSize, where); err != nil {
		return Layer{}, err
	}
	return Layer{
		MediaType: mediaType, Digest: d.Digest.String(), Size: d.Size, Annotations: maps.Clone(d.Annotations),
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			rc, err := src.open(ctx, d, false)
			if err != nil {
				return nil, err
			}
			return verify(rc, d.Digest.String(), d.Size, where), nil
		},
	}, nil
}
