package buildpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"apocryph/proto/status"
)

// maxFiles bounds the entries of a source and of an output: each takes an inode
// and time, whatever its size.
const maxFiles = 1 << 17

// sourceTime is the time of all files of a source: that of a checkout would make
// builds differ, and archives know nothing before 1980.
var sourceTime = time.Date(1980, 1, 2, 0, 0, 0, 0, time.UTC)

// copyIn makes the directories of a job in its volume and copies a tree to one.
// Nothing has run yet that could write there.
func copyIn(ctx context.Context, tree fs.FS, dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	c := &copier{ctx: ctx, to: root, uid: -1, gid: -1, left: -1}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		// The runtime has given the volume to the container's root.
		c.uid, c.gid = int(sys.Uid), int(sys.Uid)
	}
	for _, name := range []string{sourceDir, outputDir, tempDir} {
		if err := c.dir(name); err != nil {
			return diskError(err)
		}
	}
	if err := root.Chmod(tempDir, 0o777|fs.ModeSticky); err != nil {
		return err
	}
	if tree == nil {
		return nil
	}
	return diskError(c.tree(tree, sourceDir))
}

// diskError tells a full volume, or disk.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return status.Wrap(err, status.ResourceExhausted, "build.disk", "there is no room on the disk of the build").
			WithHint("build fewer files")
	}
	return err
}

// copier copies a tree into a directory that it does not leave.
type copier struct {
	ctx context.Context
	to  *os.Root
	// uid and gid own what is made; -1 leaves it this process's.
	uid, gid int
	// left is how many bytes may be copied; -1 is no bound.
	left  int64
	files int
	dirs  []string
}

// tree copies a tree to an existing directory. What is neither a file, a
// directory nor a symbolic link is refused. Links are made as they are: nothing
// here follows them.
func (c *copier) tree(tree fs.FS, base string) error {
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if p == "." {
			return nil
		}
		if c.files++; c.files > maxFiles {
			return status.New(status.InvalidArgument, "build.files", "there are more than %d files", maxFiles)
		}
		to := base + "/" + p
		switch d.Type() {
		case fs.ModeDir:
			return c.dir(to)
		case fs.ModeSymlink:
			link, err := fs.ReadLink(tree, p)
			if err != nil {
				return err
			}
			if err := c.to.Symlink(link, to); err != nil {
				return err
			}
			return c.own(to)
		case 0:
			return c.file(tree, p, to)
		}
		return status.Invalid("build.files", "the files", []status.Fault{
			{Field: strconv.Quote(p), Got: d.Type().String(), Want: "a file, a directory or a symbolic link"},
		})
	})
	// A directory's time is that of the last file that was made there.
	for i := len(c.dirs) - 1; i >= 0 && err == nil; i-- {
		err = c.to.Chtimes(c.dirs[i], sourceTime, sourceTime)
	}
	return err
}

func (c *copier) dir(to string) error {
	if err := c.to.Mkdir(to, 0o755); err != nil {
		return err
	}
	c.dirs = append(c.dirs, to)
	return errors.Join(c.to.Chmod(to, 0o755), c.own(to))
}

func (c *copier) own(to string) error {
	if c.uid < 0 {
		return nil
	}
	return c.to.Lchown(to, c.uid, c.gid)
}

func (c *copier) file(tree fs.FS, p, to string) error {
	in, err := tree.Open(p)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	// It may be another file than the one that was listed.
	if !st.Mode().IsRegular() {
		return status.New(status.InvalidArgument, "build.files", "%q is no regular file", p)
	}
	if c.left >= 0 && st.Size() > c.left {
		return status.New(status.InvalidArgument, "build.size", "the files are larger than the build may make")
	}
	mode := fs.FileMode(0o644)
	if st.Mode()&0o100 != 0 {
		mode = 0o755
	}
	out, err := c.to.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	var r io.Reader = in
	if c.left >= 0 {
		r = io.LimitReader(in, c.left+1)
	}
	n, err := io.Copy(out, r)
	if c.left >= 0 {
		if c.left -= n; c.left < 0 && err == nil {
			c.left = 0
			err = status.New(status.InvalidArgument, "build.size", "the files are larger than the build may make")
		}
	}
	if c.uid >= 0 && err == nil {
		err = out.Chown(c.uid, c.gid)
	}
	if err := errors.Join(err, out.Chmod(mode), out.Close()); err != nil {
		return fmt.Errorf("copying %q: %w", p, err)
	}
	return c.to.Chtimes(to, sourceTime, sourceTime)
}
