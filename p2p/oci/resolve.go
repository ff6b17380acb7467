package oci

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"

	"apocryph/proto/status"

	"github.com/google/go-containerregistry/pkg/authn"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options say how to read an image.
type Options struct {
	// Dir is what relative paths are relative to; empty is the working directory.
	Dir string
	// Platform is required.
	Platform Platform
	// Keychain has the credentials for registries; nil is the docker configuration.
	Keychain authn.Keychain
	// Anonymous sends no credentials at all.
	Anonymous bool
	// Transport reaches registries; nil is a [NewTransport] of its own for each call.
	Transport http.RoundTripper
}

// Read finds the image that ref names for a platform and reads its manifest
// and configuration. Layers are read when they are opened. Errors: not_found
// where the file, tag or repository is missing; invalid_argument where the image
// is damaged, is for other platforms or is beyond a cap; permission_denied and
// unavailable from registries.
func Read(ctx context.Context, ref Reference, opts Options) (*Image, error) {
	if opts.Platform.OS == "" || opts.Platform.Architecture == "" {
		return nil, status.New(status.InvalidArgument, "image.platform", "platform: got nothing, want one such as linux/amd64")
	}
	opts.Platform = opts.Platform.normal()
	path := ref.Path
	if ref.Transport != Registry && !filepath.IsAbs(path) {
		path = filepath.Join(opts.Dir, path)
	}
	var (
		img *Image
		err error
	)
	switch ref.Transport {
	case Layout:
		img, err = readLayoutDir(ctx, path, ref, opts.Platform)
	case Archive:
		img, err = readLayoutArchive(ctx, path, ref, opts.Platform)
	case DockerArchive:
		img, err = readDockerArchive(ctx, path, ref, opts.Platform)
	case Registry:
		img, err = readRegistry(ctx, ref, opts)
	default:
		return nil, status.New(status.InvalidArgument, "image.reference", "image: got transport %q, want oci, oci-archive, docker-archive or registry", clip(string(ref.Transport)))
	}
	if err != nil {
		return nil, err
	}
	img.Source = ref.String()
	return img, nil
}

const (
	// maxDepth bounds indexes within indexes: a chain of them costs a fetch each.
	maxDepth = 4
	// maxDescriptors bounds the manifests that are looked at over all indexes of an image.
	maxDescriptors = 1024
	// maxProbes bounds the manifests that must be opened because no index names their platform.
	maxProbes = 32
)

// candidate is a manifest and the platform that it is for.
type candidate struct {
	desc     ocispec.Descriptor
	platform Platform
}

// walk collects the manifests under descs.
type walk struct {
	src    source
	seen   int
	probes int
	found  []candidate
}

func (w *walk) collect(ctx context.Context, descs []ocispec.Descriptor, depth int) error {
	if depth > maxDepth {
		return status.New(status.InvalidArgument, "image.index", "the image has indexes %d levels deep, want at most %d", depth, maxDepth)
	}
	for _, d := range descs {
		if w.seen++; w.seen > maxDescriptors {
			return status.New(status.InvalidArgument, "image.index", "the image has more than %d manifests", maxDescriptors)
		}
		switch {
		case d.Annotations["vnd.docker.reference.type"] == "attestation-manifest":
			// BuildKit keeps provenance beside the images, as platform unknown/unknown.
		case isIndex(d.MediaType):
			data, err := readBlob(ctx, w.src, d, MaxManifest, true)
			if err != nil {
				return err
			}
			doc, err := parseDocument(data, d.MediaType, w.src.where(d))
			if err != nil {
				return err
			}
			if err := w.collect(ctx, doc.Manifests, depth+1); err != nil {
				return err
			}
		case isManifest(d.MediaType):
			c := candidate{desc: d}
			if d.Platform != nil && d.Platform.OS != "" {
				c.platform = Platform{OS: d.Platform.OS, Architecture: d.Platform.Architecture, Variant: d.Platform.Variant}.normal()
			} else {
				if w.probes++; w.probes > maxProbes {
					return status.New(status.InvalidArgument, "image.index", "the image has more than %d manifests without a platform", maxProbes)
				}
				img, err := readManifest(ctx, w.src, d)
				if err != nil {
					return err
				}
				c.platform = img.Platform
			}
			w.found = append(w.found, c)
		}
	}
	return nil
}

// choose finds the one image under descs that a machine of the wanted platform
// runs best; among equals the first, as the OCI index specification asks.
func choose(ctx context.Context, src source, descs []ocispec.Descriptor, want Platform, where string) (*Image, error) {
	w := walk{src: src}
	if err := w.collect(ctx, descs, 0); err != nil {
		return nil, err
	}
	var (
		best     *candidate
		bestFit  = -1
		platform []Platform
	)
	for i, c := range w.found {
		if c.platform.OS != "unknown" {
			platform = append(platform, c.platform)
		}
		if fit, ok := want.runs(c.platform); ok && fit > bestFit {
			best, bestFit = &w.found[i], fit
		}
	}
	if best == nil {
		return nil, wrongPlatform(where, want, platform)
	}
	img, err := readManifest(ctx, src, best.desc)
	if err != nil {
		return nil, err
	}
	// An index may lie about what it lists.
	if _, ok := want.runs(Platform{OS: img.Platform.OS, Architecture: img.Platform.Architecture, Variant: best.platform.Variant}); !ok {
		return nil, wrongPlatform(where, want, []Platform{img.Platform})
	}
	return img, nil
}

// tagsOf lists the tags of an index's manifests.
func tagsOf(descs []ocispec.Descriptor) []string {
	var tags []string
	for _, d := range descs {
		if t := d.Annotations[ocispec.AnnotationRefName]; t != "" {
			tags = append(tags, clip(t))
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}
