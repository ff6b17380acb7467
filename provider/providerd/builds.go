package providerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"apocryph/manifest/detect"
	"apocryph/p2p/git"
	"apocryph/p2p/lifecycle"
	"apocryph/p2p/oci"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider/artifacts"
	"apocryph/provider/build"
	"apocryph/provider/builds"
	"apocryph/provider/images"
)

// builds assembles the queue of builds from source. Plain is the directory of what
// is not sealed yet.
func (n *Node) builds(ctx context.Context, st *lifecycle.Stack, o parts, plain string, builder *build.Builder, importer *images.Importer, kept *images.Images, store *artifacts.Store, says builds.Attestor, from *origins) (*builds.Queue, error) {
	scratch := filepath.Join(plain, "git")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, fmt.Errorf("making room for repositories: %w", err)
	}
	if err := git.Sweep(scratch); err != nil {
		return nil, fmt.Errorf("removing left-over repositories: %w", err)
	}
	var sources builds.Sources
	fetcher, err := git.New(git.Config{Bases: n.set.Source.hosts(), Dir: scratch, AllowFile: n.set.Source.AllowFiles, AllowHosts: n.set.Source.AllowHosts, Now: n.set.Now, Logger: n.log})
	switch {
	case err == nil:
		sources = repositories{fetcher, scratch}
	case status.ReasonOf(err) == "git.program":
		n.log.Warn("nothing is built from repositories", "err", err)
	default:
		return nil, err
	}
	from.fetcher = fetcher
	queue, err := builds.New(builds.Config{
		Documents: o.db.Documents("build"), Dir: filepath.Join(plain, "builds"), Sources: sources, Verify: from.signer, Workers: int(n.set.Source.Workers),
		Detect: func(tree fs.FS, h builds.Hints) (detect.Plan, error) {
			return detect.Detect(tree, detect.Options{Entry: h.Entry, Runtime: h.Runtime})
		},
		Builder: packer{builder, oci.Platform{OS: "linux", Architecture: runtime.GOARCH}}, Importer: importer, Keeper: kept, Artifacts: store,
		Exists: func(ctx context.Context, namespace, id string) (bool, error) {
			_, err := store.Get(ctx, namespace, id)
			if status.CodeOf(err) == status.NotFound {
				return false, nil
			}
			return err == nil, err
		},
		Attestor: says, Now: n.set.Now, Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	return queue, st.Start(ctx, "builds", queue.Ready(), queue.Run)
}

// repositories brings the files of commits, each into a tree of its own.
type repositories struct {
	*git.Fetcher
	dir string
}

func (r repositories) Bring(ctx context.Context, w git.Want, check func(git.Resolved) error) (builds.Files, git.Resolved, git.Fetched, error) {
	tree, err := source.NewTree(r.dir, source.DefaultLimits())
	if err != nil {
		return nil, git.Resolved{}, git.Fetched{}, err
	}
	found, how, err := r.Fetcher.Bring(ctx, w, check, tree, nil)
	if err != nil {
		return nil, found, how, errors.Join(err, tree.Close())
	}
	return tree, found, how, nil
}

// packer builds as a plan says.
type packer struct {
	*build.Builder
	platform oci.Platform
}

func (p packer) Build(ctx context.Context, j builds.Job) (builds.Made, error) {
	req := build.Request{
		Runtime: build.Runtime(j.Plan.Runtime), FS: j.Source, Entry: j.Plan.Entry, Args: j.Args, Port: j.Port,
		Namespace: j.Namespace, Log: j.Log, Platform: p.platform,
		Progress: func(_ string, percent int) { j.Progress(percent) },
	}
	switch {
	case slices.Contains(build.Languages(), req.Runtime):
		req.Plan = &j.Plan
	case req.Runtime == build.Binary && len(j.Plan.Argv) > 1:
		if j.Plan.Argv[0] == "/bin/sh" {
			return builds.Made{}, status.New(status.InvalidArgument, "build.shell", "the command needs a shell, and the image of an executable has none").
				WithHint("name the program and its arguments, without quotes, variables and pipes; or write a Dockerfile")
		}
		// The executable is the entry; what a Procfile says behind it goes on.
		req.Args = append(slices.Clone(j.Plan.Argv[1:]), j.Args...)
	}
	out, err := p.Builder.Build(ctx, req)
	if err != nil {
		return builds.Made{}, err
	}
	made := builds.Made{
		Image: out.Image, Argv: out.Argv, Evidence: out.Evidence, Warnings: out.Warnings, Materials: out.Materials, Packages: out.Packages,
		Binary: out.Binary, Close: out.Close,
	}
	if out.Base != nil && out.Base.Image != nil {
		base := out.Base.Image.Layers
		for made.Base < min(len(base), len(out.Image.Layers)) && base[made.Base].Digest == out.Image.Layers[made.Base].Digest {
			made.Base++
		}
	}
	return made, nil
}
