package deploy

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// unpack makes a tree of an artifact: an archive's files, or the one file that it is.
func (o *Orchestrator) unpack(ctx context.Context, content Content) (*source.Tree, error) {
	tree, err := source.NewTree(o.cfg.Staging, source.DefaultLimits())
	if err != nil {
		return nil, err
	}
	if _, err := tree.Add(ctx, "main", io.NewSectionReader(content, 0, content.Size())); err != nil {
		return nil, errors.Join(err, tree.Close())
	}
	return tree, nil
}

// file is a regular file of a tree.
type file interface {
	io.ReaderAt
	io.Closer
}

// archive is the image that a tree has: its one file, or, where an archive of an
// image was uploaded and unpacked as archives are, the same files packed again. What
// a digest covers is in the files.
func (o *Orchestrator) archive(tree fs.FS) (file, int64, error) {
	for _, index := range []string{"index.json", "manifest.json"} {
		if info, err := fs.Stat(tree, index); err == nil && info.Mode().IsRegular() {
			return o.repack(tree)
		}
	}
	return onlyFile(tree)
}

func (o *Orchestrator) repack(tree fs.FS) (file, int64, error) {
	f, err := os.CreateTemp(o.cfg.Staging, "image-")
	if err != nil {
		return nil, 0, fmt.Errorf("packing the image: %w", err)
	}
	// Without a name it goes with its last descriptor, also when this process is killed.
	err = os.Remove(f.Name())
	if err == nil {
		tw := tar.NewWriter(f)
		err = errors.Join(tw.AddFS(tree), tw.Close())
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("packing the image: %w", err), f.Close())
	}
	return f, info.Size(), nil
}

// onlyFile opens the one file of a tree.
func onlyFile(tree fs.FS) (file, int64, error) {
	var name string
	err := fs.WalkDir(tree, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if name != "" {
			return status.Invalid("deploy.invalid", "the deployment", []status.Fault{{Field: "/files", Got: "several files: " + name + ", " + path, Want: "one archive of an image"}})
		}
		name = path
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if name == "" {
		return nil, 0, status.Invalid("deploy.invalid", "the deployment", []status.Fault{{Field: "/files", Got: "no file", Want: "an archive of an image"}})
	}
	f, err := tree.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	at, ok := f.(file)
	if !ok {
		return nil, 0, errors.Join(errors.New("a file that cannot be read at an offset"), f.Close())
	}
	return at, info.Size(), nil
}
