package builds

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"apocryph/attest/provenance"
	"apocryph/p2p/git"
)

// input is what is built: a directory of files that stay as they are.
type input struct {
	tree  fs.FS
	files Files
	// source is nil for an upload.
	source *provenance.Source
}

// rooted is a directory whose links do not lead out of it.
type rooted struct{ *os.Root }

// open brings the files of a build.
func (q *Queue) open(ctx context.Context, j *job) (input, error) {
	if j.asked.Git != nil {
		return q.fetch(ctx, j, *j.asked.Git)
	}
	root, err := os.OpenRoot(filepath.Join(q.dir(j.id), treeName))
	if err != nil {
		return input{}, fmt.Errorf("opening the source of build %s: %w", j.id, err)
	}
	return input{tree: root.FS(), files: rooted{root}}, nil
}

// fetch resolves once: every later step is of that commit, whatever the branch
// does meanwhile.
func (q *Queue) fetch(ctx context.Context, j *job, from GitSource) (input, error) {
	if err := q.stage(ctx, j, stageFetching); err != nil {
		return input{}, err
	}
	want, signer := from.Want, ""
	if j.asked.Lent {
		var err error
		if want.Credential, err = j.takeLent(); err != nil {
			return input{}, err
		}
	}
	files, found, how, err := q.cfg.Sources.Bring(ctx, want, func(found git.Resolved) (err error) {
		if q.cfg.Verify != nil {
			signer, err = q.cfg.Verify(ctx, j.ns, found)
		}
		return err
	})
	if err != nil {
		return input{}, err
	}
	in, err := q.fetched(ctx, j, from, found, how, signer, files)
	if err != nil {
		_ = files.Close() // the first error is the one that matters
	}
	return in, err
}

func (q *Queue) fetched(ctx context.Context, j *job, from GitSource, found git.Resolved, how git.Fetched, signer string, files Files) (input, error) {
	in := input{tree: files.FS(), files: files}
	var err error
	if in.tree, err = git.Sub(in.tree, from.Path); err != nil {
		return input{}, err
	}
	in.source = &provenance.Source{
		Repository: found.Repository, Ref: found.Ref, Branch: found.Branch, Path: from.Path, Commit: found.Commit.ID, Tree: found.Commit.Tree,
		Object: found.Raw, Signer: signer, Method: how.Method,
	}
	fmt.Fprintf(j.log, "fetched %s of %s by %s, %d bytes\n", found.Commit.ID, found.Repository, how.Method, how.Bytes)
	return in, q.update(ctx, j, func(b *Build) error {
		claimed := b.Source.ClaimedCommit
		b.Source = Source{
			Type: "git", ClaimedCommit: claimed, Repository: found.Repository, Ref: found.Ref, Branch: found.Branch, Path: from.Path,
			Commit: found.Commit.ID, Tree: found.Commit.Tree, AuthorName: found.Commit.Author.Name, AuthorEmail: found.Commit.Author.Email,
			Signer: signer, Method: how.Method,
		}
		return nil
	})
}
