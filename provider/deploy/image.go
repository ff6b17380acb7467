package deploy

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
)

// image brings the sealed image of a request.
func (o *Orchestrator) image(ctx context.Context, d *deployment, r Request, owner provider.InstanceID) (manifest.Image, []byte, error) {
	if r.built() {
		return o.buildImage(ctx, d, r)
	}
	if r.ArtifactID != "" && o.cfg.Builds != nil {
		img, ok, err := o.madeImage(ctx, d, r.ArtifactID)
		if ok || err != nil {
			return img.Image, img.Key, err
		}
	}
	return o.sealed(ctx, d, r, owner)
}

// sealed builds or fetches the plain image, and seals it.
func (o *Orchestrator) sealed(ctx context.Context, d *deployment, r Request, owner provider.InstanceID) (_ manifest.Image, _ []byte, err error) {
	free, err := o.building.take(ctx, d.namespace)
	if err != nil {
		return manifest.Image{}, nil, err
	}
	defer free()
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, imageTime)
	defer cancel()
	defer func() {
		if err != nil && whole.Err() == nil && ctx.Err() != nil {
			err = status.Wrap(err, status.DeadlineExceeded, "deploy.image_time", "the image was not here within %s", imageTime).
				WithHint("have it in a faster registry, or upload it")
		}
	}()
	plain, done, err := o.plain(ctx, d, r)
	if err != nil {
		return manifest.Image{}, nil, err
	}
	defer done()
	o.progress(d, "sealing", 0, 0)
	img, key, err := o.cfg.Importer.Import(ctx, plain, owner, func(done, total int64) {
		o.progress(d, "sealing", uint64(done), uint64(total))
	})
	if err != nil {
		return manifest.Image{}, nil, fmt.Errorf("sealing the image: %w", err)
	}
	return img, key, nil
}

// plain is the plain image of a request, with what was found out on the way.
func (o *Orchestrator) plain(ctx context.Context, d *deployment, r Request) (*oci.Image, func(), error) {
	b, done, err := o.built(ctx, d, r)
	if err != nil {
		return nil, nil, err
	}
	err = o.update(ctx, d, func(n *Deployment) {
		n.Source.Digest, n.Entry = b.digest, Entry{Reason: b.evidence}
		n.Warnings = append(n.Warnings, b.warnings...)
	})
	if err != nil {
		done()
		return nil, nil, err
	}
	return b.image, done, nil
}

// made is a plain image, and what was found out on the way.
type made struct {
	image              *oci.Image
	digest             string
	evidence, warnings []string
}

// built brings or builds the image of a request. What it returns is to be called
// when the image is not needed any more.
func (o *Orchestrator) built(ctx context.Context, d *deployment, r Request) (made, func(), error) {
	var closers []func() error
	done := func() {
		for n := range closers {
			_ = closers[len(closers)-1-n]() // read files, and scratch that is swept
		}
	}
	if r.Image != "" {
		ref, err := oci.ParseReference(r.Image)
		if err != nil {
			return made{}, nil, err
		}
		img, err := o.cfg.Resolve(ctx, ref, o.cfg.Platform)
		return made{image: img}, done, err
	}
	out, req, err := o.input(ctx, d, r, &closers)
	if err != nil {
		done()
		return made{}, nil, err
	}
	b, err := o.build(ctx, req, r.Tree, &out)
	if err != nil {
		done()
		return made{}, nil, err
	}
	closers = append(closers, b.Close)
	out.image, out.evidence, out.warnings = b.Image, b.Evidence, b.Warnings
	return out, done, nil
}

// build builds an image, and finds the digest of uploaded files meanwhile.
func (o *Orchestrator) build(ctx context.Context, req build.Request, uploaded *source.Tree, out *made) (*build.Result, error) {
	var g errgroup.Group
	if uploaded != nil {
		g.Go(func() (err error) {
			out.digest, err = uploaded.Digest()
			return err
		})
	}
	b, err := o.cfg.Builder.Build(ctx, req)
	if digestErr := g.Wait(); err == nil && digestErr != nil {
		return nil, errors.Join(digestErr, b.Close())
	}
	return b, err
}

// input is what the builder needs of a request.
func (o *Orchestrator) input(ctx context.Context, d *deployment, r Request, closers *[]func() error) (out made, req build.Request, err error) {
	c := r.Manifest.Containers[0]
	req = build.Request{Runtime: build.Runtime(r.Runtime), Entry: r.Entry, Args: c.Args, Platform: o.cfg.Platform}
	if len(c.Ports) > 0 {
		req.Port = c.Ports[0].TargetPort
	}
	tree := r.Tree
	if tree == nil {
		content, sum, err := o.cfg.Artifacts.Open(ctx, d.namespace, r.ArtifactID)
		if err != nil {
			return out, req, err
		}
		*closers = append(*closers, content.Close)
		out.digest = "sha256:" + sum
		if req.Runtime == build.Image {
			req.Archive, req.ArchiveSize = content, content.Size()
			return out, req, nil
		}
		if tree, err = o.unpack(ctx, content); err != nil {
			return out, req, err
		}
		*closers = append(*closers, tree.Close)
	} else if err := tree.Check(); err != nil {
		return out, req, err
	}
	if req.Runtime == build.Image {
		f, size, err := o.archive(tree.FS())
		if err != nil {
			return out, req, err
		}
		*closers = append(*closers, f.Close)
		req.Archive, req.ArchiveSize = f, size
		return out, req, nil
	}
	req.FS = tree.FS()
	return out, req, nil
}
