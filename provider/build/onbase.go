package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// base finds the base image of a role, and notes that it went into the image.
func (b *Builder) base(ctx context.Context, req Request, res *Result, role string) (Base, ocispec.Image, error) {
	if b.cfg.Bases == nil {
		return Base{}, ocispec.Image{}, status.New(status.Unavailable, "build.base", "there is no base image for %s", role).
			WithHint("the provider's operator configures one, see the base images in the documentation")
	}
	base, err := b.cfg.Bases.Base(ctx, role, req.Platform)
	if err != nil {
		return Base{}, ocispec.Image{}, fmt.Errorf("finding the base image for %s: %w", role, err)
	}
	var c ocispec.Image
	if err := json.Unmarshal(base.Image.Config, &c); err != nil {
		return Base{}, ocispec.Image{}, status.Wrap(err, status.Unavailable, "build.base", "the configuration of the base image for %s is not valid JSON", role)
	}
	if len(c.RootFS.DiffIDs) != len(base.Image.Layers) {
		return Base{}, ocispec.Image{}, status.New(status.Unavailable, "build.base", "the base image for %s has %d layers and %d diff ids", role, len(base.Image.Layers), len(c.RootFS.DiffIDs))
	}
	id := base.Image.Digest
	if id == "" {
		id = base.Image.ID()
	}
	res.because("%s image %s", role, base.URI)
	res.Materials = append(res.Materials, Material{
		Name: "base:" + role, URI: base.URI,
		Digest: map[string]string{"sha256": strings.TrimPrefix(id, "sha256:")},
	})
	return base, c, nil
}

// onBase makes the image of a base and layers above it that are not compressed.
// What the base's configuration says stays but for what every app has.
func onBase(req Request, res *Result, base Base, c ocispec.Image, env map[string]string, ports []uint16, layers ...oci.Layer) error {
	if len(base.Image.Layers)+len(layers) > oci.MaxLayers {
		return status.New(status.Unavailable, "build.base", "the base image has %d layers, want at most %d", len(base.Image.Layers), oci.MaxLayers-len(layers))
	}
	all := slices.Concat(base.Image.Layers, layers)
	config := ocispec.ImageConfig{
		User: nonroot, WorkingDir: "/" + appDir, Entrypoint: res.Argv, Env: mergeEnv(c.Config.Env, env), StopSignal: "SIGTERM",
	}
	if len(ports) > 0 {
		config.ExposedPorts = map[string]struct{}{}
	}
	for _, p := range ports {
		config.ExposedPorts[strconv.Itoa(int(p))+"/tcp"] = struct{}{}
	}
	diffs := slices.Clone(c.RootFS.DiffIDs)
	for _, l := range layers {
		diffs = append(diffs, digest.Digest(l.Digest))
	}
	res.Base = &base
	return conclude(req, res, ocispec.Image{
		Platform: ocispec.Platform{OS: req.Platform.OS, Architecture: req.Platform.Architecture, Variant: req.Platform.Variant},
		Config:   config, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffs},
	}, all)
}

// conclude makes the image of a configuration and its layers.
func conclude(req Request, res *Result, config ocispec.Image, layers []oci.Layer) error {
	data, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encoding configuration: %w", err)
	}
	img := &oci.Image{
		Source: "upload:" + string(req.Runtime), Platform: req.Platform,
		Config: data, ConfigMediaType: oci.MediaTypeConfig, Layers: layers,
	}
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	img.Digest = digest.FromBytes(m).String()
	res.Image, res.User, res.Argv = img, config.Config.User, config.Config.Entrypoint
	slices.SortFunc(res.Packages, func(x, y Package) int { return strings.Compare(x.PURL, y.PURL) })
	return nil
}

// mergeEnv sets variables in a base's environment; what is new comes last, sorted.
func mergeEnv(base []string, set map[string]string) []string {
	left := maps.Clone(set)
	var out []string
	for _, e := range base {
		name, _, _ := strings.Cut(e, "=")
		if v, ok := left[name]; ok {
			e = name + "=" + v
			delete(left, name)
		}
		out = append(out, e)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		out = append(out, name+"="+left[name])
	}
	return out
}

// run runs a command in an image, and returns what it left.
func (b *Builder) run(ctx context.Context, req Request, res *Result, j Job) (*output, error) {
	if b.cfg.Runner == nil {
		return nil, status.New(status.Unavailable, "build.runner", "%s needs a command, and this provider runs none for builds", j.Name).
			WithHint("vendor the dependencies in the tree, or upload an image or a binary")
	}
	out, err := newOutput(filepath.Join(res.dir, "out"))
	if err != nil {
		return nil, err
	}
	j.Namespace, j.Log, j.Output, j.Egress = req.Namespace, req.Log, out.dir, !b.cfg.Offline
	j.Env = append(slices.Clone(j.Env), b.cfg.Env...)
	if err := b.cfg.Runner.Run(ctx, j); err != nil {
		return nil, errors.Join(fmt.Errorf("running %s: %w", j.Name, err), out.close())
	}
	return out, nil
}

// stage tells what is being done.
func (r Request) stage(name string, percent int) {
	if r.Progress != nil {
		r.Progress(name, percent)
	}
}
