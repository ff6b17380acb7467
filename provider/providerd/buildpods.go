package providerd

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"apocryph/p2p/content"
	"apocryph/p2p/lifecycle"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider/build"
	"apocryph/provider/buildpod"
	"apocryph/provider/images"
)

// catalog finds base images as configured. Blocks is nil where there is no IPFS.
func (s settings) catalog(blocks *content.Store) (*build.Catalog, error) {
	refs, err := s.references()
	if err != nil {
		return nil, err
	}
	cfg := build.CatalogConfig{
		Images: refs,
		Read: func(ctx context.Context, ref oci.Reference, p oci.Platform) (*oci.Image, error) {
			// What the operator names is public to all who build: no credentials.
			return oci.Read(ctx, ref, oci.Options{Platform: p, Anonymous: true})
		},
		IPFS: func(ctx context.Context, text string, p oci.Platform) (*oci.Image, error) {
			root, err := cid.Decode(text)
			if err != nil {
				return nil, status.Wrap(err, status.InvalidArgument, "image.cid", "%.80q is no CID", text)
			}
			return images.Plain(ctx, blocks, root, p)
		},
	}
	return build.NewCatalog(cfg)
}

// builder makes images, with base images and what runs commands. Plain is the
// directory of what is not sealed yet.
func (n *Node) builder(ctx context.Context, st *lifecycle.Stack, o parts, plain string, blocks *content.Store, importer *images.Importer) (*build.Builder, error) {
	catalog, err := n.set.catalog(blocks)
	if err != nil {
		return nil, err
	}
	runner, err := n.buildPods(ctx, st, o, blocks, importer)
	if err != nil {
		return nil, err
	}
	strangers := oci.NewPublicTransport(n.set.Source.AllowRegistries)
	pull := func(ctx context.Context, ref oci.Reference, p oci.Platform) (*oci.Image, error) {
		return oci.Read(ctx, ref, oci.Options{Platform: p, Anonymous: true, Transport: strangers})
	}
	return build.New(build.Config{
		Dir: filepath.Join(plain, "build"), Bases: catalog, Pull: pull, Runner: runner, Env: n.set.Source.Env, Offline: n.set.Source.Egress == "off",
	})
}

// buildPods starts what runs the commands of builds; nil where the runtime was given,
// which has no volumes for them.
func (n *Node) buildPods(ctx context.Context, st *lifecycle.Stack, o parts, blocks *content.Store, importer *images.Importer) (build.Runner, error) {
	if o.volumes == nil {
		return nil, nil
	}
	limits, _ := n.set.Source.Limits.parse()
	pods, err := buildpod.New(buildpod.Config{
		Defaults: limits,
		Runtime:  o.runtime, Importer: importer, Images: images.New(blocks), Disks: o.volumes, Roots: o.roots,
		Dir: filepath.Join(n.set.DataDir, "buildpods"), Logger: n.log, Now: n.set.Now,
	})
	if err != nil {
		return nil, err
	}
	swept := make(chan struct{})
	err = st.Start(ctx, "build pods", swept, func(ctx context.Context) error {
		if err := pods.Sweep(ctx); err != nil {
			return err
		}
		close(swept)
		<-ctx.Done()
		if err := pods.Close(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("removing unpacked base images: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pods, nil
}
