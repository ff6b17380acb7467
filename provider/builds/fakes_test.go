package builds_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"apocryph/attest/commit"
	"apocryph/attest/dsse"
	"apocryph/attest/provenance"
	"apocryph/manifest"
	"apocryph/manifest/detect"
	"apocryph/p2p/git"
	"apocryph/p2p/ipdr"
	"apocryph/p2p/oci"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/artifacts"
	"apocryph/provider/build"
	"apocryph/provider/builds"
	"apocryph/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var must, refused, eventually = providertest.Must, providertest.Refused, providertest.Eventually

// world is what outlives a process, and all that a queue uses.
type world struct {
	t    *testing.T
	docs *providertest.Documents
	dir  string
	cfg  builds.Config

	mu sync.Mutex
	// pins are by owner; arts are artifacts, with their bytes.
	pins map[provider.InstanceID]int
	arts map[string][]byte
	// held makes a step wait: it sends its name to at, and goes on when told, or
	// when its context ends.
	held string
	at   chan string
	goOn chan struct{}
	// broken is the error of a step.
	broken map[string]error
	order  []string
	said   []provenance.Build
	// kept are the build and CID of what is said, by owner and image id; runs is an
	// image that a pod has; about came with the last image.
	kept  map[string]string
	runs  string
	about []ipdr.Referrer
	// with are the credentials that commits were fetched with.
	with []*git.Credential
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, docs: providertest.NewDocuments(), dir: t.TempDir(), pins: map[provider.InstanceID]int{}, arts: map[string][]byte{}, kept: map[string]string{},
		at: make(chan string), goOn: make(chan struct{}), broken: map[string]error{},
	}
	w.cfg = builds.Config{
		Documents: w.docs, Dir: filepath.Join(w.dir, "builds"), Sources: w, Detect: w.detect, Builder: w, Importer: w, Keeper: w, Artifacts: w,
		Exists: w.exists, Attestor: w, Workers: 1, Now: time.Now,
	}
	return w
}

// step is where a test breaks in.
func (w *world) step(ctx context.Context, name string) error {
	w.mu.Lock()
	held, broken := w.held == name, w.broken[name]
	w.mu.Unlock()
	if held {
		select {
		case w.at <- name:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-w.goOn:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return broken
}

func (w *world) hold(step string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = step
}

func (w *world) Bring(ctx context.Context, want git.Want, check func(git.Resolved) error) (builds.Files, git.Resolved, git.Fetched, error) {
	c := commit.Commit{ID: strings.Repeat("ab", 20), Tree: strings.Repeat("cd", 20)}
	c.Author.Name, c.Author.Email = "Ann", "ann@example.org"
	r := git.Resolved{Repository: "https://example.org/r", Ref: want.Slug.Ref, Branch: "refs/heads/main", Raw: []byte("tree"), Commit: c}
	w.mu.Lock()
	w.with = append(w.with, want.Credential)
	w.mu.Unlock()
	if err := w.step(ctx, "resolve"); err != nil {
		return nil, git.Resolved{}, git.Fetched{}, err
	}
	if err := check(r); err != nil {
		return nil, git.Resolved{}, git.Fetched{}, err
	}
	tree := fstest.MapFS{"app/main.py": {Data: []byte("print(1)")}, "main.py": {Data: []byte("print(2)")}}
	return fetched{tree}, r, git.Fetched{Method: "archive", Bytes: 7}, w.step(ctx, "fetch")
}

type fetched struct{ m fstest.MapFS }

func (t fetched) FS() fs.FS  { return t.m }
func (fetched) Close() error { return nil }

func (w *world) detect(tree fs.FS, h builds.Hints) (detect.Plan, error) {
	if err := w.step(context.Background(), "detect"); err != nil {
		return detect.Plan{}, err
	}
	b, err := fs.ReadFile(tree, "main.py")
	if err != nil {
		return detect.Plan{}, status.New(status.InvalidArgument, "entry.none", "there is nothing to run")
	}
	if string(b) == "panic" {
		panic("detect")
	}
	return detect.Plan{Runtime: "python", Argv: []string{"python", "main.py"}, Evidence: []string{"main.py: " + string(b)}}, nil
}

func layer(text string) oci.Layer {
	return oci.Layer{MediaType: "application/vnd.oci.image.layer.v1.tar", Digest: digestOf(text), Size: int64(len(text)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

func (w *world) Build(ctx context.Context, j builds.Job) (builds.Made, error) {
	w.mu.Lock()
	w.order = append(w.order, j.Namespace)
	w.mu.Unlock()
	fmt.Fprintf(j.Log, "compiling %s\nand more", j.Plan.Runtime)
	if err := w.step(ctx, "build"); err != nil {
		return builds.Made{}, err
	}
	made := builds.Made{
		Image: &oci.Image{Config: []byte("{}"), Platform: oci.Platform{OS: "linux", Architecture: "amd64"}, Layers: []oci.Layer{layer("base"), layer("app")}},
		Base:  1, Argv: j.Plan.Argv, Materials: []build.Material{{Name: "base", URI: "oci:base", Digest: map[string]string{"sha256": "00"}}},
		Packages: []build.Package{{Name: "flask", Version: "3.0.0", PURL: "pkg:pypi/flask@3.0.0"}},
	}
	if slices.Contains(j.Args, "binary") {
		made.Binary = filepath.Join(w.dir, "main")
		if err := os.WriteFile(made.Binary, []byte("\x7fELF"), 0o700); err != nil {
			return made, err
		}
	}
	return made, nil
}

func (w *world) ImportReferred(ctx context.Context, img *oci.Image, owner provider.InstanceID, _ func(done, total int64), about []ipdr.Referrer) (manifest.Image, []byte, error) {
	w.mu.Lock()
	w.pins[owner]++
	for i, r := range about {
		about[i].CID = "bafy" + digestOf(string(r.Data))
	}
	w.about = about
	w.mu.Unlock()
	return manifest.Image{CID: "bafy", ImageID: img.ID(), EncryptedDigest: digestOf("sealed"), KeyID: "k"}, []byte("key"), w.step(ctx, "import")
}

func (w *world) Release(_ context.Context, owner provider.InstanceID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pins, owner)
	return nil
}

func (w *world) Create(ctx context.Context, ns, name, kind, by string, _ map[string]string) (artifacts.Artifact, error) {
	if err := w.step(ctx, "create"); err != nil {
		return artifacts.Artifact{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	a := artifacts.Artifact{ID: uuid.NewString(), Namespace: ns, Name: name, ContentType: kind, CreatedBy: by}
	w.arts[a.ID] = nil
	return a, nil
}

func (w *world) Upload(ctx context.Context, _, id string, r io.Reader, _ map[string][]byte) (artifacts.Artifact, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return artifacts.Artifact{}, err
	}
	if err := w.step(ctx, "upload"); err != nil {
		return artifacts.Artifact{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arts[id] = b
	return artifacts.Artifact{ID: id}, nil
}

func (w *world) Delete(_ context.Context, _, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.arts[id]; !ok {
		return status.New(status.NotFound, "artifact.unknown", "none")
	}
	delete(w.arts, id)
	return nil
}

func (w *world) exists(_ context.Context, _, id string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.arts[id]
	return ok, nil
}

// statement is what a provider states of a build; it is not one of package provenance.
func statement(id string) []byte { return []byte("statement " + id) }

func (w *world) Built(ctx context.Context, owner provider.PublisherID, b provenance.Build, keep func([]byte) (string, error)) ([]byte, error) {
	if err := w.step(ctx, "sign"); err != nil {
		return nil, err
	}
	envelope, err := w.SignBuilt(statement(b.ID))
	if err != nil {
		return nil, err
	}
	cid, err := keep(envelope)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, b)
	w.kept[string(owner)+" "+b.ImageID] = b.ID + " " + cid
	return envelope, nil
}

func (w *world) SignBuilt(statement []byte) ([]byte, error) {
	return dsse.Seal(dsse.InToto, statement, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
}

func (w *world) DropBuilt(_ context.Context, owner provider.PublisherID, imageID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs == imageID {
		return status.New(status.Conflict, "provenance.in_use", "a pod has it")
	}
	delete(w.kept, string(owner)+" "+imageID)
	return nil
}

// run starts a process; stop kills it: its context ends and nothing is tidied.
func (w *world) run() (q *builds.Queue, stop func()) {
	w.t.Helper()
	q, err := builds.New(w.cfg)
	must(w.t, err)
	return q, providertest.Run(w.t, q.Run, q.Ready())
}

// upload is a request with one file.
func (w *world) upload(text string, change ...func(*builds.Request)) builds.Request {
	w.t.Helper()
	tree, err := source.NewTree(w.dir, source.DefaultLimits())
	must(w.t, err)
	_, err = tree.Add(w.t.Context(), "main.py", strings.NewReader(text))
	must(w.t, err)
	r := builds.Request{Namespace: "team", By: "token:ci", AppID: "app", Tree: tree}
	for _, f := range change {
		f(&r)
	}
	return r
}

// ended waits for the end of a build.
func ended(t *testing.T, q *builds.Queue, id string) (builds.Build, []builds.Event) {
	t.Helper()
	var events []builds.Event
	must(t, q.Watch(t.Context(), "*", id, 0, func(e builds.Event) error {
		events = append(events, e)
		return nil
	}))
	b, err := q.Build(t.Context(), "*", id)
	must(t, err)
	return b, events
}

// chatty writes a lot.
type chatty struct{ *world }

func (c chatty) Build(ctx context.Context, j builds.Job) (builds.Made, error) {
	fmt.Fprintln(j.Log, strings.Repeat("long", 10_000))
	for n := range 40_000 {
		fmt.Fprintf(j.Log, "line %d %s\n", n, strings.Repeat("x", 50))
	}
	j.Log = io.Discard
	return c.world.Build(ctx, j)
}

// snapshot is the world as it is, to be gone back to.
func (w *world) snapshot() func(*testing.T) *world {
	docs, pins, arts, kept := w.docs.Clone(), maps.Clone(w.pins), maps.Clone(w.arts), maps.Clone(w.kept)
	dir := w.t.TempDir()
	must(w.t, os.CopyFS(dir, os.DirFS(w.dir)))
	return func(t *testing.T) *world {
		n := newWorld(t)
		n.docs, n.pins, n.arts, n.kept, n.dir = docs, pins, arts, kept, dir
		n.cfg.Documents, n.cfg.Dir = docs, filepath.Join(dir, "builds")
		return n
	}
}
