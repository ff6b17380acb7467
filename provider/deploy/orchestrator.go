package deploy

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
)

const (
	// maxBuilding bounds the deployments that build or seal at once: both keep the
	// processors and the disk busy. maxBuildingPerNamespace leaves a place for others,
	// and imageTime bounds one: a registry that a stranger names may answer for ever.
	maxBuilding             = 3
	maxBuildingPerNamespace = 2
	imageTime               = 30 * time.Minute
	// maxWaiting bounds the deployments that have not ended, against a caller who
	// submits faster than anything starts, and maxWaitingPerNamespace those of one
	// namespace, so that it keeps none of the others out. The parts of a change are as
	// many as its repository has manifests.
	maxWaiting             = 64
	maxWaitingPerNamespace = 32
	// maxApps and maxAppsPerNamespace bound apps, keptDeployments those that are
	// remembered of each.
	maxApps             = 1024
	maxAppsPerNamespace = 64
	keptDeployments     = 50
)

// Documents is one kind of what is kept, durably and sealed.
type Documents interface {
	Put(ctx context.Context, name string, value []byte) error
	All(ctx context.Context) (map[string][]byte, error)
	Delete(ctx context.Context, name string) error
}

// Orders changes pods.
type Orders interface {
	Deploy(ctx context.Context, d provider.Direct, report func(provider.Progress)) (provider.Provisioned, error)
	Rollback(ctx context.Context, r provider.RollbackRequest, report func(provider.Progress)) (provider.Provisioned, error)
	Delete(ctx context.Context, publisher provider.PublisherID, name string, keepVolumes bool) error
}

// Pods looks at pods.
type Pods interface {
	Status(ctx context.Context, publisher provider.PublisherID, name string) (provider.PodView, error)
	History(ctx context.Context, publisher provider.PublisherID, name string) ([]provider.RevisionView, error)
	// Ordered is what was ordered as a revision that can be rolled back to, or runs.
	Ordered(ctx context.Context, publisher provider.PublisherID, name string, revision uint64) (provider.Direct, error)
}

// Logs reads what a pod's current revision writes.
type Logs interface {
	ReadLogs(ctx context.Context, publisher provider.PublisherID, name string, q provider.LogQuery, fn func(replica uint32, l provider.LogLine) error) error
}

// Builder makes plain images of what was uploaded.
type Builder interface {
	Build(ctx context.Context, r build.Request) (*build.Result, error)
}

// Importer seals a plain image and keeps it for owner.
type Importer interface {
	Import(ctx context.Context, img *oci.Image, owner provider.InstanceID, report func(done, total int64)) (manifest.Image, []byte, error)
}

// Keeper gives up what an import kept, once a pod keeps it itself.
type Keeper interface {
	Release(ctx context.Context, owner provider.InstanceID) error
}

// Artifacts are uploaded bytes.
type Artifacts interface {
	// Open returns the content and its SHA-256 in hex.
	Open(ctx context.Context, namespace, id string) (Content, string, error)
	// Hold keeps an artifact from being deleted until Release.
	Hold(namespace, id, owner string) error
	Release(id, owner string)
}

// Content is an artifact's bytes.
type Content interface {
	io.ReaderAt
	io.ReadSeekCloser
	Size() int64
}

// Aliases are host names that lead to pods beside those of their endpoints.
type Aliases interface {
	// SetAliases replaces all of them.
	SetAliases(aliases map[string]provider.Alias)
	// URL is what a person opens for a host name.
	URL(host string) string
	// ClaimHost holds a host outside of the domain for an app, until ReleaseHost or
	// the end of the process. It is invalid_argument, permission_denied or a conflict
	// where that is not the app's to have.
	ClaimHost(host, app string) error
	ReleaseHost(host, app string)
}

// Config is what an orchestrator is made of. All but Builds, NamespaceGit, Refuse
// and Logger must be set.
type Config struct {
	Apps, Deployments Documents
	Orders            Orders
	Pods              Pods
	Logs              Logs
	Builder           Builder
	Importer          Importer
	Keeper            Keeper
	Artifacts         Artifacts
	Aliases           Aliases
	// Builds may be nil: then nothing is built from source.
	Builds Builds
	// NamespaceGit is where the apps of a namespace have their sources, unless they
	// say so themselves; nil for nowhere.
	NamespaceGit func(ctx context.Context, namespace string) (AppSource, bool, error)
	// Resolve finds an image that is referenced; files are refused before.
	Resolve  func(ctx context.Context, ref oci.Reference, p oci.Platform) (*oci.Image, error)
	Platform oci.Platform
	// Refuse says why a namespace takes no deploy but a sync, nil where it does; nil
	// where every namespace does.
	Refuse func(namespace string) error
	// Staging is a directory for what is being received and unpacked.
	Staging string
	// Domain is the parent of generated host names.
	Domain string
	// Serving is closed when orders are taken.
	Serving <-chan struct{}
	Now     func() time.Time
	Logger  *slog.Logger
}

// Orchestrator is the pipeline. Make it with [New]; it works while Run runs.
type Orchestrator struct {
	cfg   Config
	log   *slog.Logger
	ready chan struct{}
	// turns has the pods that a deployment is changing.
	turns turns
	// building is held by who builds.
	building slots

	mu sync.Mutex // guards what follows
	// work starts what ends with Run; nil while it does not run.
	work func(func(context.Context))
	apps map[string]*App
	// leaving are the apps that are being removed.
	leaving map[string]bool
	// deployments by id, requests by request id.
	deployments map[string]*deployment
	requests    map[[16]byte]string
	// held are the artifacts of what runs, by who holds them.
	held map[string]string
}

// podKey is a pod of a tenant.
type podKey struct {
	tenant provider.PublisherID
	name   string
}

var (
	_ Apps        = (*Orchestrator)(nil)
	_ Deployments = (*Orchestrator)(nil)
)

// New makes an orchestrator. It starts nothing and touches no disk.
func New(cfg Config) *Orchestrator {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Orchestrator{
		cfg: cfg, log: log, ready: make(chan struct{}),
		apps: map[string]*App{}, leaving: map[string]bool{}, deployments: map[string]*deployment{}, requests: map[[16]byte]string{},
		held: map[string]string{},
	}
}

// Ready is closed when what was kept is known and requests are served.
func (o *Orchestrator) Ready() <-chan struct{} { return o.ready }

// Run loads what was kept, ends what a crash interrupted, and works until ctx ends.
func (o *Orchestrator) Run(ctx context.Context) error {
	select {
	case <-o.cfg.Serving:
	case <-ctx.Done():
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	interrupted, err := o.load(ctx)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.work = func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	for _, d := range interrupted {
		o.work(func(ctx context.Context) { o.resume(ctx, d) })
	}
	o.mu.Unlock()
	o.claim()
	o.refresh()
	close(o.ready)
	<-ctx.Done()
	o.mu.Lock()
	o.work = nil
	o.mu.Unlock()
	return nil
}

// allowed refuses a deploy of a namespace that takes what is in its repository alone.
func (o *Orchestrator) allowed(r Request) error {
	if r.Synced != nil || o.cfg.Refuse == nil {
		return nil
	}
	return o.cfg.Refuse(r.Namespace)
}

// tenantOf is who owns the pods of a namespace. No peer id has a colon.
func tenantOf(namespace string) provider.PublisherID { return provider.PublisherID("ns:" + namespace) }

// production is the environment whose pod has the app's own name.
const production = "production"

func podName(app, environment string) string {
	if environment == production {
		return app
	}
	return app + "--" + environment
}

// errStopping refuses what comes before Run or after.
func errStopping() error {
	return status.New(status.Unavailable, "provider.starting", "this provider is starting or stopping").WithRetryAfter(2 * time.Second)
}
