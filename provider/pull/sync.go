package pull

import (
	"context"
	"errors"
	"strings"

	"apocryph/attest/commit"
	"apocryph/p2p/git"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// Request asks for a sync.
type Request struct {
	Namespace string
	// Ref is a branch or a commit; empty is the head of the configured branch.
	Ref string
	// By is who asks, for the record.
	By string
	// ended is closed with the change, if it is not nil.
	ended chan struct{}
}

// Sync finds the commit, checks it, reads its manifests and starts the change. It
// returns when the change is under way; the deployment's results have one entry
// for each app. What is refused is refused here, before anything was changed:
//
//	invalid_argument   sync.no_repository, git.ref_not_found, git.not_on_branch,
//	                   git.path_not_found, sync.no_manifests, sync.manifests
//	permission_denied  sync.signature
//	conflict           sync.rollback
//	unavailable        git.unavailable
func (p *Puller) Sync(ctx context.Context, r Request) (deploy.Deployment, error) {
	free, err := p.turns.Lock(ctx, r.Namespace)
	if err != nil {
		return deploy.Deployment{}, err
	}
	// The turn goes on to the change, once there is one.
	change, err := p.prepare(ctx, r)
	if err != nil {
		free()
		return deploy.Deployment{}, err
	}
	first := deploy.Deployment{
		Namespace: r.Namespace, CreatedBy: r.By, Source: change.source(), Warnings: change.warnings,
	}
	d, err := p.set.Deploys.Group(ctx, first, func(ctx context.Context, g *deploy.Group) error {
		defer free()
		if r.ended != nil {
			defer close(r.ended)
		}
		return p.apply(ctx, change, g)
	})
	if err != nil {
		free()
	}
	return d, err
}

// prepare finds and reads what a sync is to apply. It changes nothing.
func (p *Puller) prepare(ctx context.Context, r Request) (*change, error) {
	s, ok := p.names.get(r.Namespace)
	if !ok {
		return nil, errNone(r.Namespace)
	}
	want, err := s.want(r.Ref)
	if err != nil {
		return nil, err
	}
	select {
	case p.reading <- struct{}{}:
		defer func() { <-p.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.Ref != "" && s.Branch == "" {
		// A ref that is given is on the default branch too, and not on its own.
		if want.Branch, err = p.standard(ctx, s); err != nil {
			return nil, err
		}
	}
	resolved, err := p.set.Sources.Resolve(ctx, want)
	if err != nil {
		return nil, err
	}
	// From here on it is this commit, whatever happens to the ref.
	want.Slug.Ref = resolved.Commit.ID
	if err := p.forward(ctx, s, want, resolved); err != nil {
		return nil, err
	}
	signer, err := p.signed(ctx, s, want, resolved)
	if err != nil {
		return nil, err
	}
	c := &change{state: s, want: want, resolved: resolved, ref: r.Ref, signer: signer, by: r.By}
	if err := p.read(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// standard is the repository's default branch.
func (p *Puller) standard(ctx context.Context, s state) (string, error) {
	want, err := s.want("")
	if err != nil {
		return "", err
	}
	r, err := p.set.Sources.Resolve(ctx, want)
	return strings.TrimPrefix(r.Branch, "refs/heads/"), err
}

// forward refuses a commit that is older than what runs, where that is not allowed.
func (p *Puller) forward(ctx context.Context, s state, want git.Want, to git.Resolved) error {
	if s.AllowRollback {
		return nil
	}
	// Where the last sync failed, some apps may run its commit, and others the one before.
	for _, runs := range []string{s.Commit, s.Partial} {
		if runs == "" || runs == to.Commit.ID {
			continue
		}
		newer, err := p.set.Sources.Reachable(ctx, want, runs, to.Commit.ID)
		if err != nil {
			return err
		}
		if !newer {
			return status.New(status.Conflict, "sync.rollback", "commit %s does not come after %s, which runs", short(to.Commit.ID), short(runs)).
				WithHint("revert the change in the repository, or set allow_rollback")
		}
	}
	return nil
}

// maxStrict bounds the commits of one strict sync, all of which are verified.
const maxStrict = 10_000

// signed checks the signatures that a namespace demands, and returns who signed
// the commit itself.
func (p *Puller) signed(ctx context.Context, s state, want git.Want, to git.Resolved) (*commit.Signer, error) {
	if s.Verify.Mode == VerifyNone {
		return nil, nil
	}
	keys, err := commit.ParseKeys([]byte(s.Verify.Keys))
	if err != nil {
		return nil, err
	}
	signer, err := commit.Verify(to.Commit, keys)
	if err != nil {
		return nil, unsigned(to.Commit.ID, err)
	}
	if s.Verify.Mode != VerifyStrict || s.Commit == "" {
		return &signer, nil
	}
	between, err := p.set.Sources.Commits(ctx, want, to.Commit.ID, s.Commit, maxStrict)
	if err != nil {
		return nil, err
	}
	for _, raw := range between {
		c, err := commit.Parse(raw)
		if err == nil {
			_, err = commit.Verify(c, keys)
		}
		if err != nil {
			return nil, unsigned(commit.ID(raw), err)
		}
	}
	return &signer, nil
}

// unsigned refuses a commit. It is "no", and not "don't know".
func unsigned(id string, why error) error {
	public := status.Public(why)
	return status.Wrap(why, status.PermissionDenied, "sync.signature", "commit %s: %s", short(id), public.Detail).
		WithHint("have it signed by one of the namespace's keys")
}

func short(id string) string { return id[:min(len(id), 12)] }

// read fetches the files and makes of them what is to be applied.
func (p *Puller) read(ctx context.Context, c *change) (err error) {
	tree, err := source.NewTree(p.set.Staging, source.DefaultLimits())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	if _, err := p.set.Sources.Fetch(ctx, c.want, c.resolved, tree, func(string, int64, int64) {}); err != nil {
		return err
	}
	below, err := git.Sub(tree.FS(), c.state.Path)
	if err != nil {
		return err
	}
	return c.collect(below)
}

// Signer checks a commit that is built for a namespace outside of a sync, and
// returns the fingerprint of who signed it; empty where the namespace demands
// nothing of that repository.
func (p *Puller) Signer(_ context.Context, namespace string, found git.Resolved) (string, error) {
	s, ok := p.names.get(namespace)
	if !ok || s.Verify.Mode == VerifyNone {
		return "", nil
	}
	keys, err := commit.ParseKeys([]byte(s.Verify.Keys))
	if err != nil {
		return "", err
	}
	signer, err := commit.Verify(found.Commit, keys)
	if err != nil {
		return "", unsigned(found.Commit.ID, err)
	}
	return signer.Key, nil
}

// Origin is a namespace's repository as the source of its apps.
func (p *Puller) Origin(_ context.Context, namespace string) (deploy.AppSource, bool, error) {
	s, ok := p.names.get(namespace)
	if !ok {
		return deploy.AppSource{}, false, nil
	}
	from, err := s.slug()
	if err != nil {
		return deploy.AppSource{}, false, err
	}
	return deploy.AppSource{Slug: from.String(), Branch: s.Branch, OfDefault: true, Path: s.Path, Credential: s.Credential}, true, nil
}
