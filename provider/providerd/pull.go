package providerd

import (
	"context"
	"time"

	"apocryph/p2p/git"
	"apocryph/p2p/lifecycle"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/pull"
)

// lookEvery is how often branches are looked at, in namespaces that follow theirs.
const lookEvery = time.Minute

// origins are the repositories of namespaces, for builds and deploys: those are
// made before them, and what an earlier process left is taken up at once. So each
// question waits until what was configured is known: nobody's commit passes for
// want of an answer.
type origins struct {
	ready   chan struct{}
	fetcher *git.Fetcher
	puller  *pull.Puller
}

func newOrigins() *origins { return &origins{ready: make(chan struct{})} }

func (o *origins) wait(ctx context.Context) error {
	select {
	case <-o.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// origin is deploy.Config's NamespaceGit.
func (o *origins) origin(ctx context.Context, namespace string) (deploy.AppSource, bool, error) {
	if err := o.wait(ctx); err != nil {
		return deploy.AppSource{}, false, err
	}
	return o.puller.Origin(ctx, namespace)
}

// signer is builds.Config's Verify.
func (o *origins) signer(ctx context.Context, namespace string, found git.Resolved) (string, error) {
	if err := o.wait(ctx); err != nil {
		return "", err
	}
	return o.puller.Signer(ctx, namespace, found)
}

// refuse is deploy.Config's Refuse.
func (o *origins) refuse(namespace string) error {
	select {
	case <-o.ready:
		return o.puller.Refuse(namespace)
	default:
		return status.New(status.Unavailable, "provider.starting", "this provider is starting").WithRetryAfter(2 * time.Second)
	}
}

// pull starts the syncs of namespaces with their repositories.
func (n *Node) pull(ctx context.Context, st *lifecycle.Stack, o parts, from *origins, deploys *deploy.Orchestrator, staging string) error {
	// What was configured with a git, such as git_only, holds without one.
	var sources pull.Sources = noGit{}
	if from.fetcher != nil {
		sources = from.fetcher
	}
	from.puller = pull.New(pull.Settings{
		Documents: o.db.Documents("git"), Sources: sources, Deploys: deploys, Apps: deploys,
		Staging: staging, Now: n.set.Now, Every: lookEvery, Logger: n.log,
	})
	if err := st.Start(ctx, "syncs", from.puller.Ready(), from.puller.Run); err != nil {
		return err
	}
	close(from.ready)
	return nil
}

// noGit is the sources of a machine without git.
type noGit struct{}

func errNoGit() error {
	return status.New(status.Unimplemented, "git.program", "there is no git at this provider").WithHint("install git, 2.39 or later, and start the provider again")
}

func (noGit) Resolve(context.Context, git.Want) (git.Resolved, error) {
	return git.Resolved{}, errNoGit()
}

func (noGit) Fetch(context.Context, git.Want, git.Resolved, *source.Tree, func(string, int64, int64)) (git.Fetched, error) {
	return git.Fetched{}, errNoGit()
}

func (noGit) Reachable(context.Context, git.Want, string, string) (bool, error) {
	return false, errNoGit()
}

func (noGit) Commits(context.Context, git.Want, string, string, int) ([][]byte, error) {
	return nil, errNoGit()
}
