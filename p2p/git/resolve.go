package git

import (
	"context"
	"errors"
	"io"
	"strings"

	"apocryph/attest/commit"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

const (
	heads = "refs/heads/"
	tags  = "refs/tags/"
)

// plan is what is to be fetched for a want.
type plan struct {
	// branch is the full name of what the commit must be reachable from.
	branch string
	// ref is the full name of the reference that names the commit, or "".
	ref string
	// id is a full or short commit id, where ref is "".
	id string
	// near says that the commit is the branch's own, so that its history is of
	// no concern.
	near bool
}

// Resolve finds the commit of a want, once. A full id is a commit, whatever
// branch is called so; a name is a branch or a tag; what is neither and has 7
// or more hex digits is a short id among the branch's own commits. One name for
// a branch and a tag of different commits is refused, unless only branches are
// asked for, and refs/heads/NAME or refs/tags/NAME say which.
func (f *Fetcher) Resolve(ctx context.Context, w Want) (out Resolved, err error) {
	if err := checkWant(w); err != nil {
		return Resolved{}, err
	}
	ctx, j, end, err := f.start(ctx, w)
	if err != nil {
		return Resolved{}, err
	}
	defer func() { err = end(err) }()
	p, err := j.plan(ctx)
	if err != nil {
		return Resolved{}, err
	}
	return j.resolve(ctx, p)
}

// checkWant looks at names that become arguments. Slugs come parsed, and
// branches of a configuration may not.
func checkWant(w Want) error {
	for _, name := range []string{w.Slug.Ref, w.Branch} {
		if name == "" {
			continue
		}
		if err := slug.CheckRef(name); err != nil {
			return err
		}
	}
	if strings.HasPrefix(w.Branch, tags) {
		return status.New(status.InvalidArgument, ReasonBranchGone, "the branch is %q, want a branch and no tag", w.Branch)
	}
	return nil
}

// full is the full name of a branch.
func full(branch string) string {
	if branch == "" || strings.HasPrefix(branch, heads) {
		return branch
	}
	return heads + branch
}

// plan asks the server for its references.
func (j *job) plan(ctx context.Context) (plan, error) {
	ref, branch := j.want.Slug.Ref, full(j.want.Branch)
	wanted := map[string]bool{branch: true, "HEAD": true, ref: true, heads + ref: true, tags + ref: true}
	var list refs
	err := j.run(ctx, true, nil, func(r io.Reader) (err error) {
		list, err = readRefs(r, wanted)
		return err
	}, "ls-remote", "--symref", "--end-of-options", j.url)
	if errors.Is(err, errListing) {
		return plan{}, status.Wrap(err, status.InvalidArgument, ReasonProtocol, "the repository %s has a list of references that cannot be read", j.name)
	}
	if err := j.upstream(err); err != nil {
		return plan{}, err
	}
	p := plan{branch: branch}
	if err := j.choose(&p, list); err != nil {
		return plan{}, err
	}
	if p.branch == "" && !j.want.OfDefault {
		p.branch = p.ref
	}
	if p.branch == "" {
		p.branch = list.defaultBranch
	}
	head, ok := list.commit(p.branch)
	switch {
	case p.branch == "":
		return plan{}, j.noRef("it has no default branch").WithHint("name a branch")
	case !ok && p.branch == list.defaultBranch:
		head, ok = list.ids["HEAD"]
	}
	if !ok {
		return plan{}, status.New(status.InvalidArgument, ReasonBranchGone, "the branch %q is not in the repository %s", strings.TrimPrefix(p.branch, heads), j.name).
			WithHint("make it again, or name another one in the configuration")
	}
	if p.ref == "" && p.id == "" {
		p.ref = p.branch
	}
	p.near = p.ref == p.branch || p.id == head
	return p, nil
}

// choose says what the ref is.
func (j *job) choose(p *plan, list refs) error {
	ref := j.want.Slug.Ref
	if ref == "" {
		return nil
	}
	if commit.IsID(ref) {
		p.id = ref
		return nil
	}
	branch, tag := heads+ref, tags+ref
	if strings.HasPrefix(ref, heads) || strings.HasPrefix(ref, tags) {
		branch, tag = "", ref
		if strings.HasPrefix(ref, heads) {
			branch, tag = ref, ""
		}
	}
	onBranch, isBranch := list.commit(branch)
	onTag, isTag := list.commit(tag)
	switch {
	case isTag && j.want.OnlyBranches && !isBranch:
		return j.noRef("it is a tag, and a branch or a commit is wanted")
	case isTag && isBranch && onBranch != onTag && !j.want.OnlyBranches:
		return status.New(status.InvalidArgument, ReasonAmbiguous, "%q is a branch and a tag of the repository %s, and they differ", ref, j.name).
			WithHint("say refs/heads/%s or refs/tags/%s", ref, ref)
	case isBranch:
		p.ref = branch
	case isTag:
		p.ref = tag
	case slug.MaybeSHA(ref) && len(ref) >= shortID:
		p.id = ref
	default:
		return j.noRef("it is no branch, no tag and no commit")
	}
	return nil
}

func (j *job) noRef(why string) *status.Error {
	return status.New(status.InvalidArgument, ReasonRef, "the ref %q is not found in the repository %s: %s", j.want.Slug.Ref, j.name, why).
		WithHint("name a branch or a commit that is there")
}

// resolve fetches what was planned and reads the commit.
func (j *job) resolve(ctx context.Context, p plan) (Resolved, error) {
	names := []string{p.branch}
	if p.ref != "" && p.ref != p.branch {
		names = append(names, p.ref)
	}
	d := allCommits
	if p.near {
		d = lastCommit
	}
	if err := j.history(ctx, d, names...); err != nil {
		return Resolved{}, err
	}
	head, raw, err := j.commitOf(ctx, local(p.branch))
	if err != nil {
		return Resolved{}, err
	}
	id := p.id
	switch {
	case p.ref == p.branch:
		id = head
	case p.ref != "":
		if id, err = j.revision(ctx, local(p.ref)); err != nil {
			return Resolved{}, err
		}
	}
	if id != head {
		if p.near {
			// The branch moved between the list and the fetch.
			if err := j.history(ctx, theRest, p.branch); err != nil {
				return Resolved{}, err
			}
		}
		if id, err = j.reach(ctx, local(p.branch), id, p); err != nil {
			return Resolved{}, err
		}
	}
	if id != head {
		if raw, err = j.object(ctx, id); err != nil {
			return Resolved{}, err
		}
	}
	c, err := commit.Parse(raw)
	if err != nil {
		return Resolved{}, err
	}
	if c.ID != id {
		return Resolved{}, status.New(status.InvalidArgument, ReasonProtocol, "the repository %s has a commit whose id is another's", j.name)
	}
	return Resolved{Repository: j.name, Ref: j.want.Slug.Ref, Branch: p.branch, Head: head, Raw: raw, Commit: c}, nil
}
