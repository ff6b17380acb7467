package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"apocryph/attest/commit"
	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// maxLink caps the target of a symbolic link, which is the contents of a blob;
// it is PATH_MAX of Linux.
const maxLink = 4096

// clone fills a tree from the object database of a scratch repository. Nothing
// is checked out: no filter, hook or attribute has a say.
type clone struct {
	job    *job
	dir    string
	tree   *source.Tree
	report func(string, int64, int64)
	// under is where in the tree, for a submodule, and level how deep that is.
	under string
	level int
	// moved is what came from servers; modules counts submodules.
	moved   int64
	modules int
}

// commit brings the files of a commit that is on a branch.
func (c *clone) commit(ctx context.Context, k commit.Commit, branch string) error {
	if err := c.objects(ctx, k.ID, branch); err != nil {
		return err
	}
	return c.filled(ctx, k)
}

// filled brings the files of a commit whose objects are there.
func (c *clone) filled(ctx context.Context, k commit.Commit) error {
	list, err := c.list(ctx, k.ID)
	if err != nil {
		return err
	}
	links, err := c.links(list)
	if err != nil {
		return err
	}
	if err := c.files(ctx, list); err != nil {
		return err
	}
	ids := map[string]string{}
	if len(links) > 0 {
		if err := c.submodules(ctx, k.ID, links); err != nil {
			return err
		}
		for _, l := range links {
			ids[l.path] = l.id
		}
	}
	c.report(StageCheck, 0, 0)
	return c.job.compare(c.tree, c.under, ids, k.Tree)
}

// objects fetches a commit alone, by its id; from servers that do not give
// commits by their ids, the branch.
func (c *clone) objects(ctx context.Context, id, branch string) error {
	c.report(StageClone, 0, 0)
	fetch := func(args ...string) error {
		args = append([]string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"}, args...)
		err := c.job.run(ctx, true, nil, discard, args...)
		c.moved = c.job.scratch.size()
		c.report(StageClone, c.moved, 0)
		return err
	}
	err := fetch("--depth=1", "--end-of-options", c.job.url, "+"+id+":refs/apocryph/tree")
	var f *failure
	if errors.As(err, &f) && f.class == classNotOffered && branch != "" {
		err = fetch("--update-shallow", "--end-of-options", c.job.url, "+"+branch+":refs/apocryph/tree")
	}
	return c.job.upstream(err)
}

// list has every file of the commit.
func (c *clone) list(ctx context.Context, id string) (list []file, err error) {
	err = c.job.run(ctx, false, nil, func(r io.Reader) (err error) {
		list, err = readTree(r, c.job.limits.Entries)
		return err
	}, "ls-tree", "-r", "-z", "--full-tree", "--end-of-options", id)
	var f *failure
	if errors.As(err, &f) {
		return nil, status.Wrap(err, status.InvalidArgument, ReasonRef, "the commit %s is not in the repository %s any more", id, c.job.name)
	}
	return list, c.job.upstream(err)
}

// links are the submodules among the files.
func (c *clone) links(list []file) ([]file, error) {
	var links []file
	for _, f := range list {
		if f.kind == "commit" {
			links = append(links, f)
		}
	}
	if len(links) > 0 && !c.job.want.Submodules {
		return nil, status.New(status.InvalidArgument, ReasonSubmodules, "the repository %s has %d submodules, such as %q, and they were not asked for", c.job.name, len(links), links[0].path).
			WithHint("ask for submodules, or leave them out of the commit")
	}
	return links, nil
}

// files reads the blobs into the tree.
func (c *clone) files(ctx context.Context, list []file) error {
	asks, asked, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("reading objects: %w", err)
	}
	defer asks.Close()
	defer asked.Close()
	err = c.job.run(ctx, false, asks, func(r io.Reader) error {
		b := &batch{w: asked, r: bufio.NewReaderSize(r, 64<<10)}
		for i, f := range list {
			if err := c.file(ctx, b, f); err != nil {
				return err
			}
			if i%256 == 0 {
				c.report(StageFiles, int64(i), int64(len(list)))
			}
		}
		return asked.Close()
	}, "cat-file", "--batch")
	if errors.Is(err, errBatch) || errors.Is(err, io.ErrUnexpectedEOF) {
		return status.Wrap(err, status.InvalidArgument, ReasonProtocol, "the repository %s has objects that cannot be read", c.job.name)
	}
	return c.job.upstream(err)
}

func (c *clone) file(ctx context.Context, b *batch, f file) error {
	name := path.Join(c.under, f.path)
	// Join would make another path of these, and the tree's own check not see them.
	for p := range strings.SplitSeq(f.path, "/") {
		if p == "" || p == "." || p == ".." || strings.EqualFold(p, ".git") {
			return status.New(status.InvalidArgument, ReasonProtocol, "the repository %s has the entry %q, which no commit of git has", c.job.name, f.path)
		}
	}
	switch f.mode {
	case "100644", "100755", "100664":
		return b.blob(f.id, func(r io.Reader, _ int64) error {
			return c.tree.AddFile(ctx, name, r, f.mode == "100755")
		})
	case "120000":
		return b.blob(f.id, func(r io.Reader, size int64) error {
			target, err := io.ReadAll(io.LimitReader(r, maxLink))
			if err != nil {
				return err
			}
			if size > maxLink {
				return c.job.tooLarge(errOutput)
			}
			return c.tree.AddLink(ctx, name, string(target))
		})
	case "160000":
		return nil
	}
	return status.New(status.InvalidArgument, ReasonProtocol, "the repository %s has the entry %q of mode %q, want files, links and submodules", c.job.name, f.path, f.mode)
}
