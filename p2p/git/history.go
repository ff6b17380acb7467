package git

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"apocryph/attest/commit"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

// local is the name in the scratch repository of a reference of the server's.
func local(ref string) string { return "refs/apocryph/" + strings.TrimPrefix(ref, "refs/") }

// depth is how much of a history is fetched.
type depth string

const (
	lastCommit depth = "--depth=1"
	allCommits depth = "--update-shallow"
	// theRest is all commits after the last was fetched.
	theRest depth = "--unshallow"
)

// history fetches references with their commits, and no files but those of the
// last commit where the job wants the whole of it.
func (j *job) history(ctx context.Context, d depth, names ...string) error {
	args := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"}
	if !j.whole || d != lastCommit {
		args = append(args, "--filter=tree:0")
	}
	args = append(args, string(d), "--end-of-options", j.url)
	for _, n := range names {
		args = append(args, "+"+n+":"+local(n))
	}
	err := j.run(ctx, true, nil, discard, args...)
	var f *failure
	if errors.As(err, &f) && f.class == classNoRef {
		return status.Wrap(err, status.InvalidArgument, ReasonBranchGone, "the branch %q is not in the repository %s any more", strings.TrimPrefix(names[0], heads), j.name).
			WithHint("try again, or name another one in the configuration")
	}
	return j.upstream(err)
}

// revision is the commit that a reference of the scratch repository names.
func (j *job) revision(ctx context.Context, name string) (id string, err error) {
	err = j.run(ctx, false, nil, func(r io.Reader) error {
		b, err := io.ReadAll(io.LimitReader(r, 256))
		id = strings.TrimSuffix(string(b), "\n")
		return err
	}, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	var f *failure
	if errors.As(err, &f) || err == nil && !commit.IsID(id) {
		return "", status.Wrap(err, status.InvalidArgument, ReasonRef, "%q of the repository %s is no commit", j.want.Slug.Ref, j.name)
	}
	return id, err
}

// reach finds a commit, by a full or a short id, among those that a reference
// of the scratch repository leads to. The list has these alone: it does not
// matter what else a server says to have, such as the commits of forks.
func (j *job) reach(ctx context.Context, from, id string, p plan) (string, error) {
	found, err := j.walk(ctx, from, id)
	if err != nil {
		return "", err
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", status.New(status.InvalidArgument, ReasonAmbiguous, "the commit id %q is short for several commits of the repository %s, such as %s and %s", id, j.name, found[0], found[1]).
			WithHint("give all 40 digits")
	case p.id != "" && !slug.FullSHA(p.id):
		return "", j.noRef("it is no branch, no tag and no commit of " + p.branch)
	}
	return "", status.New(status.InvalidArgument, ReasonNotOnBranch, "the commit %s is not on the branch %q of the repository %s", id, strings.TrimPrefix(p.branch, heads), j.name).
		WithHint("merge it first: that a host knows a commit does not say that it is in this repository, as forks share their objects")
}

// walk lists the commits from a reference or an id, and returns up to two whose
// id begins with prefix.
func (j *job) walk(ctx context.Context, from, prefix string) (found []string, err error) {
	err = j.run(ctx, false, nil, func(r io.Reader) error {
		s := bufio.NewScanner(&upTo{r: r, n: maxHistory})
		for s.Scan() {
			if id := s.Text(); strings.HasPrefix(id, prefix) && len(found) < 2 {
				found = append(found, id)
			}
		}
		return s.Err()
	}, "rev-list", "--end-of-options", from, "--")
	return found, j.upstream(err)
}

// object reads a raw commit object.
func (j *job) object(ctx context.Context, id string) (raw []byte, err error) {
	err = j.run(ctx, false, nil, func(r io.Reader) (err error) {
		raw, err = io.ReadAll(&upTo{r: r, n: maxCommit})
		return err
	}, "cat-file", "commit", id)
	return raw, j.upstream(err)
}

// Reachable reports whether the commit id is from, or one that comes before it.
// It fetches the branch of the want, and from by itself where the branch does
// not lead to it (any more).
func (f *Fetcher) Reachable(ctx context.Context, w Want, id, from string) (is bool, err error) {
	if !commit.IsID(id) || !commit.IsID(from) {
		return false, status.New(status.InvalidArgument, ReasonRef, "got the commits %q and %q, want two full ids", id, from)
	}
	if id == from {
		return true, nil
	}
	if err := checkWant(w); err != nil {
		return false, err
	}
	ctx, j, end, err := f.start(ctx, w)
	if err != nil {
		return false, err
	}
	defer func() { err = end(err) }()
	p, err := j.plan(ctx)
	if err != nil {
		return false, err
	}
	if err := j.history(ctx, allCommits, p.branch); err != nil {
		return false, err
	}
	on, err := j.walk(ctx, local(p.branch), from)
	if err != nil {
		return false, err
	}
	if len(on) == 0 {
		err := j.run(ctx, true, nil, discard, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
			"--no-auto-maintenance", "--filter=tree:0", "--end-of-options", j.url, "+"+from+":refs/apocryph/from")
		if err := j.upstream(err); err != nil {
			return false, err
		}
	}
	found, err := j.walk(ctx, from, id)
	return len(found) == 1, err
}
