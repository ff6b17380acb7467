package pull

import (
	"context"
	"log/slog"
	"time"

	"apocryph/p2p/git"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/keyed"
)

const (
	// maxNamespaces bounds the repositories that are configured.
	maxNamespaces = 1024
	// maxSyncs bounds how many syncs read repositories at once: each has a tree on
	// the disk.
	maxSyncs = 2
)

// Sources finds and fetches commits.
type Sources interface {
	Resolve(ctx context.Context, w git.Want) (git.Resolved, error)
	Fetch(ctx context.Context, w git.Want, r git.Resolved, to *source.Tree, report func(stage string, done, total int64)) (git.Fetched, error)
	History
}

// History compares commits of one repository.
type History interface {
	// Reachable reports whether id is from, or an ancestor of it.
	Reachable(ctx context.Context, w git.Want, id, from string) (bool, error)
	// Commits returns the raw objects of all commits that are reachable from id and
	// not from after, at most limit; more is an error.
	Commits(ctx context.Context, w git.Want, id, after string, limit int) ([][]byte, error)
}

// Deploys is the pipeline that every deploy goes through.
type Deploys interface {
	Submit(ctx context.Context, r deploy.Request) (deploy.Deployment, error)
	Group(ctx context.Context, d deploy.Deployment, work func(context.Context, *deploy.Group) error) (deploy.Deployment, error)
	Watch(ctx context.Context, namespace, id string, after uint64, fn func(deploy.Event) error) error
}

// Apps looks at apps, and removes them.
type Apps interface {
	ListDeployments(ctx context.Context, namespace, appID string, p deploy.Page) ([]deploy.Deployment, int, error)
	DeleteEnvironment(ctx context.Context, namespace, appID, environment string) error
}

// Settings is what a [Puller] is made of. All but Logger must be set.
type Settings struct {
	Documents Documents
	Sources   Sources
	Deploys   Deploys
	Apps      Apps
	// Staging is a directory for trees; what a crash leaves there is swept by who owns it.
	Staging string
	Now     func() time.Time
	// Every is how often a branch is looked at where Auto is on.
	Every  time.Duration
	Logger *slog.Logger
}

// Puller syncs namespaces. Make it with [New]; it works while Run runs.
type Puller struct {
	set   Settings
	log   *slog.Logger
	ready chan struct{}
	// reading is held by who has a tree.
	reading chan struct{}
	// hint is sent to when a namespace is to be synced.
	hint  chan struct{}
	names namespaces
	// turns are the namespaces that are being synced.
	turns keyed.Locks
}

// New makes a puller. It starts nothing and touches no disk.
func New(set Settings) *Puller {
	if set.Logger == nil {
		set.Logger = slog.New(slog.DiscardHandler)
	}
	return &Puller{
		set: set, log: set.Logger, ready: make(chan struct{}), reading: make(chan struct{}, maxSyncs), hint: make(chan struct{}, 1),
		names: namespaces{docs: set.Documents, states: map[string]state{}},
	}
}

// Ready is closed when what was kept is known.
func (p *Puller) Ready() <-chan struct{} { return p.ready }

// Status is a namespace's repository, and where it is.
type Status struct {
	Config
	// Commit is the last that was applied as a whole; At is when, zero for never.
	Commit string
	At     time.Time
}

// Get returns a namespace's repository. Without one it is not_found "sync.unknown".
func (p *Puller) Get(_ context.Context, namespace string) (Status, error) {
	s, ok := p.names.get(namespace)
	if !ok {
		return Status{}, status.New(status.NotFound, "sync.unknown", "namespace %.80q has no repository configured", namespace)
	}
	return Status{s.Config, s.Commit, s.At}, nil
}

// Put configures a namespace of the given version, 0 for whichever it is; else it
// is a conflict "sync.version". Secrets that are not given stay, unless the
// repository is another one. What was applied stays known as long as the repository
// is the same.
func (p *Puller) Put(ctx context.Context, c Config, version uint64) (Status, error) {
	if err := c.check(); err != nil {
		return Status{}, err
	}
	s, err := p.names.change(ctx, c.Namespace, func(s *state, known bool) error {
		if version != 0 && version != s.Version {
			return status.New(status.Conflict, "sync.version", "the configuration is at version %d, the change is of version %d", s.Version, version).
				WithHint("read it again and change what is there now")
		}
		if !known && len(p.names.states) >= maxNamespaces {
			return status.New(status.ResourceExhausted, "sync.limit", "%d namespaces have repositories, the most", maxNamespaces)
		}
		now := p.set.Now()
		c.Version, c.Created, c.Updated = s.Version+1, s.Created, now
		if !known {
			c.Created = now
		}
		if known && s.Repo == c.Repo {
			// A secret is for the host that it was given for.
			if c.Credential == nil {
				c.Credential = s.Credential
			}
			if c.WebhookSecret == "" {
				c.WebhookSecret = s.WebhookSecret
			}
		} else {
			// What another repository applied is not this one's to remove.
			s.Commit, s.Partial, s.At, s.Apps = "", "", time.Time{}, nil
		}
		s.Config = c
		return nil
	})
	return Status{s.Config, s.Commit, s.At}, err
}

// Remove ends the configuration. Apps go on, and belong to nobody's git.
func (p *Puller) Remove(ctx context.Context, namespace string) error {
	return p.names.remove(ctx, namespace)
}

// Refuse says why a deploy that is no sync is refused, nil where it is not.
func (p *Puller) Refuse(namespace string) error {
	s, ok := p.names.get(namespace)
	if !ok || !s.GitOnly {
		return nil
	}
	return status.New(status.PermissionDenied, "sync.git_only", "namespace %s takes what is in its repository %s and nothing else", namespace, s.Repo).
		WithHint("merge the change, and POST /namespaces/%s/sync-from-git", namespace)
}
