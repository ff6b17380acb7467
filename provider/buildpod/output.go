package buildpod

import (
	"context"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// copyOut copies what a job left in /out to a directory of this machine. All of
// it is hostile: only files, directories and links as such are taken, nothing is
// followed, modes are made plain, and no more is copied than the job's disk
// holds, for a file with holes says any size.
func copyOut(ctx context.Context, scratch, to string, most uint64) error {
	from, err := os.OpenRoot(filepath.Join(scratch, outputDir))
	if err != nil {
		return err
	}
	defer from.Close()
	out, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer out.Close()
	c := &copier{ctx: ctx, to: out, uid: -1, gid: -1, left: int64(min(most, math.MaxInt64))}
	return diskError(c.tree(hostile{from}, "."))
}

// hostile is a tree of which only what is in it can be opened, and of that
// nothing that would block or follow.
type hostile struct{ root *os.Root }

// Open implements [fs.FS].
func (h hostile) Open(name string) (fs.File, error) {
	return h.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// ReadLink and Lstat implement [fs.ReadLinkFS].
func (h hostile) ReadLink(name string) (string, error)   { return h.root.Readlink(name) }
func (h hostile) Lstat(name string) (fs.FileInfo, error) { return h.root.Lstat(name) }
