package deploy_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/manifest"
	"apocryph/p2p/ipdr"
	"apocryph/p2p/oci"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
	"apocryph/provider/deploy"
	"apocryph/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var must, refused = providertest.Must, providertest.Refused

// core is the provider core: one revision a pod at once, and what it was.
type core struct {
	mu   sync.Mutex
	pods map[string]*corePod
	// gate holds up orders until it is closed; nil holds up none.
	gate chan struct{}
	// fail is what the next orders end with.
	fail error
	// deleted is called when a pod is gone.
	deleted func()
}

type corePod struct {
	view    provider.PodView
	history []provider.RevisionView
	orders  map[uint64]provider.Direct
	made    map[[16]byte]uint64
}

func (c *core) Deploy(ctx context.Context, d provider.Direct, report func(provider.Progress)) (provider.Provisioned, error) {
	m, err := manifest.Unmarshal(d.Manifest)
	if err != nil {
		return provider.Provisioned{}, err
	}
	report(provider.Progress{Stage: provider.StageAccepted})
	c.mu.Lock()
	if d.DryRun {
		defer c.mu.Unlock()
		dry := &provider.DryRunResult{Changes: []manifest.Change{{Field: "replicas.min", Kind: manifest.Changed, Old: "1", New: "2"}}}
		if p := c.pods[string(d.Tenant)+"/"+m.Name]; p != nil {
			dry.Replaces = p.view.Revision
		}
		dry.Offer.Asset, dry.Offer.TotalPerHour = "EUR", "0.02"
		return provider.Provisioned{Dry: dry}, nil
	}
	key := string(d.Tenant) + "/" + m.Name
	p := c.pods[key]
	if p == nil {
		p = &corePod{orders: map[uint64]provider.Direct{}, made: map[[16]byte]uint64{}}
		c.pods[key] = p
	}
	r, again := p.made[d.RequestID]
	if !again {
		r = uint64(len(p.history)) + 1
		p.made[d.RequestID], p.orders[r] = r, d
		p.history = append([]provider.RevisionView{{Revision: r, Outcome: provider.OutcomePending, Source: d.Source}}, p.history...)
	}
	gate, fail := c.gate, c.fail
	c.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return provider.Provisioned{}, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(p.history, func(v provider.RevisionView) bool { return v.Revision == r })
	if fail != nil {
		p.history[i].Outcome, p.history[i].Reason = provider.OutcomeFailed, fail.Error()
		return provider.Provisioned{}, fail
	}
	p.history[i].Outcome = provider.OutcomeUp
	p.view = provider.PodView{Revision: r, State: provider.StateRunning, Name: m.Name}
	return provider.Provisioned{
		PodID: provider.PodIDOf(d.Tenant, m.Name), Revision: r, ManifestDigest: manifest.DigestOf(d.Manifest),
		Endpoints: []provider.Endpoint{{Protocol: manifest.HTTP, URL: "http://" + m.Name + "-12345678.localhost:8081/"}},
	}, nil
}

func (c *core) Rollback(ctx context.Context, r provider.RollbackRequest, report func(provider.Progress)) (provider.Provisioned, error) {
	d, err := c.Ordered(ctx, r.Publisher, r.Name, r.To)
	if err != nil {
		return provider.Provisioned{}, err
	}
	d.RequestID, d.Source = r.RequestID, r.Source
	return c.Deploy(ctx, d, report)
}

func (c *core) Delete(_ context.Context, publisher provider.PublisherID, name string, _ bool) error {
	c.mu.Lock()
	known := c.pods[string(publisher)+"/"+name] != nil
	delete(c.pods, string(publisher)+"/"+name)
	c.mu.Unlock()
	if !known {
		return status.New(status.NotFound, "pod.unknown", "no pod")
	}
	if c.deleted != nil {
		c.deleted()
	}
	return nil
}

func (c *core) Status(_ context.Context, publisher provider.PublisherID, name string) (provider.PodView, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pods[string(publisher)+"/"+name]; p != nil && p.view.Revision > 0 {
		return p.view, nil
	}
	return provider.PodView{}, status.New(status.NotFound, "pod.unknown", "no pod")
}

func (c *core) History(_ context.Context, publisher provider.PublisherID, name string) ([]provider.RevisionView, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pods[string(publisher)+"/"+name]; p != nil {
		return slices.Clone(p.history), nil
	}
	return nil, status.New(status.NotFound, "pod.unknown", "no pod")
}

func (c *core) Ordered(_ context.Context, publisher provider.PublisherID, name string, revision uint64) (provider.Direct, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pods[string(publisher)+"/"+name]; p != nil {
		if d, ok := p.orders[revision]; ok {
			return d, nil
		}
	}
	return provider.Direct{}, status.New(status.NotFound, "pod.no_revision", "no revision")
}

func (c *core) ReadLogs(_ context.Context, _ provider.PublisherID, name string, _ provider.LogQuery, fn func(uint32, provider.LogLine) error) error {
	return fn(0, provider.LogLine{Text: []byte("line of " + name)})
}

// order is what was ordered last of a pod.
func (c *core) order(namespace, name string) *manifest.Manifest {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pods["ns:"+namespace+"/"+name]
	if p == nil {
		return nil
	}
	m, err := manifest.Unmarshal(p.orders[uint64(len(p.history))].Manifest)
	if err != nil {
		panic(err)
	}
	return m
}

// workshop is a Builder, an Importer, a Keeper, Artifacts and Aliases.
type workshop struct {
	mu    sync.Mutex
	built []build.Request
	// archives are the names in those that were tar files.
	archives [][]string
	fail     error
	gate     chan struct{}
	kept     map[provider.InstanceID]bool
	aliases  map[string]provider.Alias
	held     map[string]string
	// claims are hosts by app; those of example.net are not allowed.
	claims map[string]string
}

func (w *workshop) ClaimHost(host, app string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch have := w.claims[host]; {
	case !strings.Contains(host, "."):
		return status.Invalid("ingress.ports", "the host", []status.Fault{{Field: "/domain", Got: host, Want: "a host"}})
	case strings.HasSuffix(host, ".example.net"):
		return status.New(status.PermissionDenied, "ingress.host", "not allowed")
	case have != "" && have != app:
		return status.New(status.Conflict, "ingress.taken", "taken")
	}
	if w.claims == nil {
		w.claims = map[string]string{}
	}
	w.claims[host] = app
	return nil
}

func (w *workshop) ReleaseHost(host, app string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims[host] == app {
		delete(w.claims, host)
	}
}

func (w *workshop) Build(ctx context.Context, r build.Request) (*build.Result, error) {
	w.mu.Lock()
	gate, fail := w.gate, w.fail
	w.built = append(w.built, r)
	if r.Archive != nil {
		var names []string
		tr := tar.NewReader(io.NewSectionReader(r.Archive, 0, r.ArchiveSize))
		for h, err := tr.Next(); err == nil; h, err = tr.Next() {
			if h.Typeflag == tar.TypeReg {
				names = append(names, h.Name)
			}
		}
		if names != nil {
			w.archives = append(w.archives, names)
		}
	}
	w.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &build.Result{Image: &oci.Image{Config: []byte("{}")}, Evidence: []string{"it is " + string(r.Runtime)}, Warnings: []string{"mind this"}}, fail
}

var imageID = "sha256:" + strings.Repeat("ab", 32)

func (w *workshop) Import(_ context.Context, _ *oci.Image, owner provider.InstanceID, report func(done, total int64)) (manifest.Image, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept[owner] = true
	report(1, 2)
	return manifest.Image{CID: "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", EncryptedDigest: imageID, ImageID: imageID, KeyID: "0123456789abcdef0123456789abcdef"}, []byte("key"), nil
}

func (w *workshop) ImportReferred(ctx context.Context, img *oci.Image, owner provider.InstanceID, report func(done, total int64), _ []ipdr.Referrer) (manifest.Image, []byte, error) {
	return w.Import(ctx, img, owner, report)
}

func (w *workshop) Release(_ context.Context, owner provider.InstanceID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.kept, owner)
	return nil
}

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

// shelf is the workshop's artifacts.
type shelf struct{ w *workshop }

func (s shelf) Open(_ context.Context, _, id string) (deploy.Content, string, error) {
	switch id {
	case "a1":
	case "empty":
		return nil, "", status.New(status.Conflict, "artifact.not_uploaded", "no content")
	default:
		return nil, "", status.New(status.NotFound, "artifact.unknown", "no artifact %s", id)
	}
	return content{bytes.NewReader([]byte("\x7fELF and so on"))}, strings.Repeat("cd", 32), nil
}

func (s shelf) Release(id, owner string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.held[owner] == id {
		delete(s.w.held, owner)
	}
}

func (s shelf) Hold(_, id, owner string) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[owner] = id
	return nil
}

func (w *workshop) URL(host string) string { return "http://" + host + ":8081/" }

func (w *workshop) SetAliases(a map[string]provider.Alias) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aliases = a
}

// world is what outlives a process.
type world struct {
	t            *testing.T
	apps, deps   *providertest.Documents
	core         *core
	shop         *workshop
	staging      string
	unresolvable bool
	// resolve is what a registry answers; nil for an image at once.
	resolve func(context.Context) (*oci.Image, error)
	// builds is nil for none.
	builds deploy.Builds
	// refuse says which namespaces take no deploys; nil for none.
	refuse func(namespace string) error
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, apps: providertest.NewDocuments(), deps: providertest.NewDocuments(),
		core: &core{pods: map[string]*corePod{}}, shop: &workshop{kept: map[provider.InstanceID]bool{}, held: map[string]string{}}, staging: t.TempDir(),
	}
}

// run starts a process. stop kills it: its context ends and nothing is tidied.
func (w *world) run() (o *deploy.Orchestrator, stop func()) {
	serving := make(chan struct{})
	close(serving)
	o = deploy.New(deploy.Config{
		Apps: w.apps, Deployments: w.deps, Orders: w.core, Pods: w.core, Logs: w.core, Builder: w.shop, Importer: w.shop, Keeper: w.shop,
		Artifacts: shelf{w.shop}, Builds: w.builds, Aliases: w.shop, Staging: w.staging, Domain: "localhost", Serving: serving, Now: time.Now,
		Platform: oci.Platform{OS: "linux", Architecture: "amd64"},
		Refuse: func(namespace string) error {
			if w.refuse == nil {
				return nil
			}
			return w.refuse(namespace)
		},
		Resolve: func(ctx context.Context, ref oci.Reference, _ oci.Platform) (*oci.Image, error) {
			if w.resolve != nil {
				return w.resolve(ctx)
			}
			if w.unresolvable {
				return nil, errors.New("no registry")
			}
			return &oci.Image{}, nil
		},
	})
	return o, providertest.Run(w.t, o.Run, o.Ready())
}

// site is a request for a static site.
func (w *world) site(change ...func(*deploy.Request)) deploy.Request {
	w.t.Helper()
	tree, err := source.NewTree(w.staging, source.DefaultLimits())
	must(w.t, err)
	_, err = tree.Add(w.t.Context(), "index.html", strings.NewReader("<h1>hello</h1>"))
	must(w.t, err)
	r := deploy.Request{
		Namespace: "team", App: "shop", Environment: "production", By: "token:ci", Runtime: "static", Tree: tree,
		Manifest: &manifest.Manifest{
			Name: "shop", RuntimeClass: "runc", Replicas: manifest.Replicas{Min: 1, Max: 1},
			Containers: []manifest.Container{{
				Name: "shop", Ports: []manifest.Port{{TargetPort: 8080, Protocol: manifest.HTTP}},
				Resources: manifest.Resources{CPUMillis: 100, MemoryBytes: 64 << 20, PIDs: 64},
				Env:       []manifest.EnvVar{{Name: "B", Value: "deployment"}},
			}},
		},
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

// ended waits for the end of a deployment.
func ended(t *testing.T, o *deploy.Orchestrator, id string) (deploy.Deployment, []deploy.Event) {
	t.Helper()
	var events []deploy.Event
	must(t, o.Watch(t.Context(), "team", id, 0, func(e deploy.Event) error {
		events = append(events, e)
		return nil
	}))
	d, err := o.Deployment(t.Context(), "team", id)
	must(t, err)
	return d, events
}

// nothingLeft checks that no upload and no import outlives its deployment.
func (w *world) nothingLeft() {
	w.t.Helper()
	entries, err := os.ReadDir(w.staging)
	must(w.t, err)
	w.shop.mu.Lock()
	defer w.shop.mu.Unlock()
	if len(entries) > 0 || len(w.shop.kept) > 0 {
		w.t.Errorf("left: %v, %v", entries, fmt.Sprint(w.shop.kept))
	}
}
