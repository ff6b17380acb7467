package git

import (
	"context"
	"errors"
	"fmt"

	"apocryph/attest/commit"
	"apocryph/manifest/slug"
	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// The ways that a tree came.
const (
	MethodArchive = "archive"
	MethodClone   = "clone"
)

// The stages that are reported while a tree comes. Their numbers are bytes, and
// files at StageFiles; a total of 0 is not known.
const (
	StageArchive = "archive"
	StageClone   = "clone"
	StageFiles   = "files"
	StageCheck   = "check"
)

// Fetch brings the files of a resolved commit into an empty tree. Where the
// host makes archives it takes that first. An archive is not the tree: the
// repository's own attributes leave files out and write into others. So the
// id of the tree is computed from what came; an archive that differs is left
// for a clone, and a clone that differs is an error. After an error the tree is
// not to be used.
func (f *Fetcher) Fetch(ctx context.Context, w Want, r Resolved, tree *source.Tree, report func(stage string, done, total int64)) (out Fetched, err error) {
	if report == nil {
		report = func(string, int64, int64) {}
	}
	c, err := commit.Parse(r.Raw)
	if err != nil {
		return Fetched{}, err
	}
	if c.ID != r.Commit.ID || c.Tree != r.Commit.Tree {
		return Fetched{}, fmt.Errorf("fetching a commit: the object is %s, and not %s", c.ID, r.Commit.ID)
	}
	if bytes, entries := tree.Size(); bytes != 0 || entries != 0 {
		return Fetched{}, errors.New("fetching a commit: the tree is not empty")
	}
	ctx, j, end, err := f.start(ctx, w)
	if err != nil {
		return Fetched{}, err
	}
	defer func() { err = end(err) }()
	reason := noArchives
	if w.Slug.Host == slug.GitHub {
		out, reason, err = f.archive(ctx, j, c, tree, report)
		if err != nil || reason == "" {
			return out, err
		}
		f.log.Debug("cloning instead of taking the archive", "repository", j.name, "commit", c.ID, "reason", reason)
	}
	cl := &clone{job: j, dir: f.cfg.Dir, tree: tree, report: report}
	if err := cl.commit(ctx, c, r.Branch); err != nil {
		return Fetched{}, err
	}
	return Fetched{Method: MethodClone, Reason: reason, Bytes: out.Bytes + cl.moved}, nil
}

// compare recomputes the id of the tree.
func (j *job) compare(tree *source.Tree, path string, modules map[string]string, want string) error {
	fsys, err := Sub(tree.FS(), path)
	if err != nil {
		return err
	}
	got, err := commit.TreeWith(fsys, modules)
	if err != nil {
		return err
	}
	if got != want {
		return status.New(status.InvalidArgument, ReasonTree, "the files of the repository %s have the tree id %s, and the commit says %s", j.name, got, want).
			WithHint("run git fsck there: modes other than 644 and 755, and empty trees, are not kept")
	}
	return nil
}
