package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"apocryph/proto/status"

	"github.com/google/go-containerregistry/pkg/name"
)

// maxSaved bounds the images of one docker archive.
const maxSaved = 1024

// savedImage is an element of manifest.json in a docker archive (Docker image
// specification 1.2, "Combined Image JSON + Filesystem Changeset Format").
type savedImage struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

func parseSaved(data []byte, where string) ([]savedImage, error) {
	var all []savedImage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.manifest", "%s is not valid", where)
	}
	if len(all) == 0 || len(all) > maxSaved {
		return nil, status.New(status.InvalidArgument, "image.manifest", "%s lists %d images, want 1 to %d", where, len(all), maxSaved)
	}
	for _, s := range all {
		if s.Config == "" {
			return nil, status.New(status.InvalidArgument, "image.manifest", "%s has an image without Config", where)
		}
		if len(s.Layers) > MaxLayers {
			return nil, tooManyLayers(where, len(s.Layers))
		}
	}
	return all, nil
}

func readDockerArchive(ctx context.Context, file string, ref Reference, want Platform) (*Image, error) {
	t, err := openTar(ctx, file)
	if err != nil {
		return nil, fileError(err, file)
	}
	return readSaved(ctx, t, file, ref, want)
}

// readSaved reads an image of a docker archive.
func readSaved(ctx context.Context, t *tarFiles, file string, ref Reference, want Platform) (*Image, error) {
	data, err := readSmall(ctx, t, "manifest.json", MaxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "docker save writes docker archives"
		if _, err := t.find("index.json"); err == nil {
			hint = "it looks like an OCI archive: write oci-archive:FILE"
		}
		return nil, status.New(status.InvalidArgument, "image.archive", "%s is no docker archive: it has no manifest.json", file).WithHint("%s", hint)
	}
	if err != nil {
		return nil, err
	}
	all, err := parseSaved(data, t.where("manifest.json"))
	if err != nil {
		return nil, err
	}
	named, err := chooseSaved(all, ref, file)
	if err != nil {
		return nil, err
	}
	var (
		have []Platform
		fits []*Image
		best = -1
	)
	for _, s := range named {
		img, facts, err := readSavedConfig(ctx, t, s)
		if err != nil {
			return nil, err
		}
		have = append(have, img.Platform)
		fit, ok := want.runs(img.Platform)
		if !ok || fit < best {
			continue
		}
		if fit > best {
			fits, best = nil, fit
		}
		if slices.ContainsFunc(fits, func(o *Image) bool { return o.ID() == img.ID() }) {
			continue
		}
		if img.Layers, err = readSavedLayers(ctx, t, s, facts); err != nil {
			return nil, err
		}
		fits = append(fits, img)
	}
	switch len(fits) {
	case 0:
		return nil, wrongPlatform(file, want, have)
	case 1:
		return fits[0], nil
	}
	return nil, status.New(status.InvalidArgument, "image.tag", "%s has several images: %s", file, listNames(savedTags(named))).
		WithHint("choose one: docker-archive:%s:NAME", ref.Path)
}

func savedTags(all []savedImage) []string {
	var tags []string
	for _, s := range all {
		for _, t := range s.RepoTags {
			tags = append(tags, clip(t))
		}
	}
	return tags
}

func chooseSaved(all []savedImage, ref Reference, where string) ([]savedImage, error) {
	if ref.Name == "" {
		return all, nil
	}
	var chosen []savedImage
	for _, s := range all {
		if slices.ContainsFunc(s.RepoTags, func(t string) bool { return sameName(t, ref.Name) }) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, status.New(status.NotFound, "image.tag", "%s has no image %q: it has %s", where, clip(ref.Name), listNames(savedTags(all)))
	}
	return chosen, nil
}

// sameName knows that app is docker.io/library/app:latest.
func sameName(a, b string) bool {
	if a == b {
		return true
	}
	x, errA := name.NewTag(a, name.WeakValidation)
	y, errB := name.NewTag(b, name.WeakValidation)
	return errA == nil && errB == nil && x.Name() == y.Name()
}

var hexName = regexp.MustCompile(`(?:^|[/:])([0-9a-f]{64})(?:\.json)?$`)

// readSavedConfig reads the configuration of a saved image; the name of its
// file has its digest, in every version of the format.
func readSavedConfig(ctx context.Context, t *tarFiles, s savedImage) (*Image, configFacts, error) {
	where := t.where(clip(s.Config))
	data, err := readSmall(ctx, t, s.Config, MaxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, configFacts{}, status.New(status.NotFound, "image.blob", "%s is missing", where).WithHint("save the image again")
	}
	if err != nil {
		return nil, configFacts{}, err
	}
	if m := hexName.FindStringSubmatch(s.Config); m != nil && digestOf(data) != "sha256:"+m[1] {
		return nil, configFacts{}, status.New(status.InvalidArgument, "image.digest", "%s was altered: its digest is %s, want sha256:%s", where, digestOf(data), m[1]).
			WithHint("save the image again")
	}
	facts, err := parseConfig(data, where)
	if err != nil {
		return nil, configFacts{}, err
	}
	if len(facts.DiffIDs) != len(s.Layers) {
		return nil, configFacts{}, status.New(status.InvalidArgument, "image.layers", "%s has %d layers, its configuration %d",
			t.where("manifest.json"), len(s.Layers), len(facts.DiffIDs))
	}
	return &Image{Platform: facts.Platform, Config: data, ConfigMediaType: MediaTypeConfig}, facts, nil
}

func readSavedLayers(ctx context.Context, t *tarFiles, s savedImage, facts configFacts) ([]Layer, error) {
	var (
		layers []Layer
		total  int64
	)
	for i, file := range s.Layers {
		l, err := readSavedLayer(ctx, t, file, facts.DiffIDs[i])
		if err != nil {
			return nil, err
		}
		if total += l.Size; total > MaxImageSize {
			return nil, status.New(status.InvalidArgument, "image.size", "the layers in %s have %d bytes together, want at most %d", t.path, total, int64(MaxImageSize))
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// readSavedLayer finds out what a layer is. An uncompressed one has its diff id
// as digest. A compressed one (containerd's image store, and other tools than
// docker) is named by digest under blobs/sha256, and otherwise hashed here.
func readSavedLayer(ctx context.Context, t *tarFiles, file, diffID string) (Layer, error) {
	where := t.where(clip(file))
	rc, size, err := t.open(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return Layer{}, status.New(status.NotFound, "image.blob", "%s is missing", where).WithHint("save the image again")
	}
	if err != nil {
		return Layer{}, fileError(err, where)
	}
	defer rc.Close()
	if size > MaxLayerSize {
		return Layer{}, status.New(status.InvalidArgument, "image.size", "%s has %d bytes, want at most %d", where, size, int64(MaxLayerSize))
	}
	sum := sha256.New()
	in := io.TeeReader(rc, sum)
	head := make([]byte, 6)
	n, err := io.ReadFull(in, head)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Layer{}, fmt.Errorf("reading %s: %w", where, err)
	}
	comp, err := sniff(head[:n])
	if err != nil {
		return Layer{}, status.New(status.InvalidArgument, "image.layer_type", "%s cannot be used: %v", where, err)
	}
	l := Layer{MediaType: [...]string{plain: MediaTypeLayer, gzipped: MediaTypeLayerGzip, zstandard: MediaTypeLayerZstd}[comp], Size: size, Digest: diffID}
	if comp != plain {
		if m := hexName.FindStringSubmatch(file); m != nil && strings.HasPrefix(within(file), "blobs/sha256/") {
			l.Digest = "sha256:" + m[1]
		} else {
			if _, err := io.Copy(io.Discard, until(ctx, in)); err != nil {
				return Layer{}, fmt.Errorf("reading %s: %w", where, err)
			}
			l.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
		}
	}
	if !digestPattern.MatchString(l.Digest) {
		return Layer{}, status.New(status.InvalidArgument, "image.digest", "%s: digest: got %q, want sha256 and 64 hex digits", where, clip(l.Digest))
	}
	l.Open = func(ctx context.Context) (io.ReadCloser, error) {
		rc, _, err := t.open(ctx, file)
		if err != nil {
			return nil, fileError(err, where)
		}
		return verify(rc, l.Digest, size, where), nil
	}
	return l, nil
}
