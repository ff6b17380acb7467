package build

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"apocryph/manifest/dockerfile"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

const (
	// maxBrought bounds, in bytes, the layers of all images that a Dockerfile names. The disk of
	// its build bounds them, too.
	maxBrought = 16 << 30
	// bringTime bounds how long they take to come: a registry may send a byte a minute.
	bringTime = 30 * time.Minute
	// operators is the registry of the operator's base images, in a Dockerfile.
	operators = "localhost/"
)

// brought is an image that a Dockerfile names, found.
type brought struct {
	dockerfile.Image
	img *oci.Image
	// local is what it is called where the Dockerfile is built.
	local string
}

// bring finds the images that a Dockerfile names, and notes each as what went in. All that
// cannot be had are told together.
func (b *Builder) bring(ctx context.Context, req Request, res *Result, f *dockerfile.File) ([]brought, error) {
	var (
		out    []brought
		faults []status.Fault
		class  = status.InvalidArgument
		total  int64
	)
	for _, want := range f.Images {
		found, uri, err := b.named(ctx, req, want.Name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			err = describe(found, &Result{})
		}
		if err != nil {
			if imageClass(err) == status.Unavailable {
				class = status.Unavailable
			}
			faults = append(faults, status.Fault{Field: fmt.Sprintf("line %d", want.Line), Got: fmt.Sprintf("the image %.120q", want.Name), Want: "one that can be had: " + status.Public(err).Detail})
			continue
		}
		for _, l := range found.Layers {
			total += l.Size
		}
		i := brought{Image: want, img: found, local: localName(len(out))}
		out = append(out, i)
		res.because("line %d: %s is %s", want.Line, want.Name, uri)
		id := found.Digest
		if id == "" {
			id = found.ID()
		}
		m := Material{Name: "image:" + want.Name, URI: uri, Digest: map[string]string{"sha256": strings.TrimPrefix(id, "sha256:")}}
		if !slices.ContainsFunc(res.Materials, func(o Material) bool { return o.URI == m.URI && o.Digest["sha256"] == m.Digest["sha256"] }) {
			res.Materials = append(res.Materials, m)
		}
	}
	if total > maxBrought {
		faults = append(faults, status.Fault{Field: "images", Got: fmt.Sprintf("%d bytes", total), Want: fmt.Sprintf("at most %d together", int64(maxBrought))})
	}
	if faults != nil {
		err := status.Invalid("build.image", "the images of the Dockerfile", faults)
		err.Code = class
		return nil, err.WithHint("the operator's own base images are %s%s", operators, strings.Join(Roles(), ", "+operators))
	}
	return out, nil
}

func localName(n int) string { return fmt.Sprintf("localhost/base:%d", n) }

// named finds one image: the operator's base, or one of a registry.
func (b *Builder) named(ctx context.Context, req Request, name string) (*oci.Image, string, error) {
	if role, ok := strings.CutPrefix(name, operators); ok {
		role = strings.TrimSuffix(role, ":latest")
		if !slices.Contains(Roles(), role) {
			return nil, "", status.New(status.InvalidArgument, "build.base", "the operator's base images are %s", strings.Join(Roles(), ", "))
		}
		if b.cfg.Bases == nil {
			return nil, "", status.New(status.Unavailable, "build.base", "there is no base image for %s", role)
		}
		base, err := b.cfg.Bases.Base(ctx, role, req.Platform)
		return base.Image, base.URI, err
	}
	ref, err := oci.ParseReference(name)
	if err == nil && ref.Transport != oci.Registry {
		err = status.New(status.InvalidArgument, "build.image", "it is no reference of a registry")
	}
	if err != nil {
		return nil, "", err
	}
	if b.cfg.Pull == nil {
		return nil, "", status.New(status.Unavailable, "build.image", "this provider reads no registry")
	}
	img, err := b.cfg.Pull(ctx, ref, req.Platform)
	if err != nil {
		return nil, "", err
	}
	uri := ref.Full()
	if !strings.Contains(uri, "@") {
		uri += "@" + img.Digest
	}
	return img, uri, nil
}
