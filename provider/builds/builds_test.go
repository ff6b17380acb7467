package builds_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"apocryph/attest/provenance"
	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/builds"
)

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// opened is the statement in an envelope.
func opened(t *testing.T, envelope []byte) []byte {
	t.Helper()
	s, err := provenance.Statement(envelope)
	must(t, err)
	return s
}

func TestUpload(t *testing.T) {
	w := newWorld(t)
	q, stop := w.run()
	b, err := q.Submit(t.Context(), w.upload("print(1)", func(r *builds.Request) {
		r.ClaimedCommit, r.Features, r.Args = "abcdef1", []string{"full"}, []string{"-v"}
	}))
	must(t, err)
	if b.Status != builds.Pending || b.Stage != "queued" || b.Progress != 0 || b.Source.ClaimedCommit != "abcdef1" || b.Source.Commit != "" {
		t.Errorf("got %+v", b)
	}
	b, events := ended(t, q, b.ID)
	if b.Status != builds.Succeeded || b.Progress != 100 || b.Stage != "done" || b.ArtifactID == "" || b.Runtime != "python" || b.Source.Type != "upload" ||
		b.Provenance != digestOf(string(statement(b.ID))) || b.SBOM == "" || b.ImageID != digestOf("{}") {
		t.Errorf("got %+v", b)
	}
	var lines []string
	for n, e := range events {
		if e.Seq != uint64(n)+1 || (e.Kind == "result") != (n == len(events)-1) {
			t.Errorf("event %d is %+v", n, e)
		}
		if e.Kind == "log" {
			lines = append(lines, e.Text)
		}
	}
	if diff := cmp.Diff([]string{"main.py: print(1)", "compiling python", "and more"}, lines); diff != "" {
		t.Error(diff)
	}
	said := w.said[0]
	if said.Source != nil || said.Upload != b.Source.Digest || said.ID != b.ID || len(said.Materials) != 1 ||
		said.Parameters["features[0]"] != "full" || said.Parameters["args[0]"] != "-v" || said.ImageID != b.ImageID || said.SBOM != b.SBOM || said.Finished.Before(said.Started) {
		t.Errorf("got %+v", said)
	}
	if b.ImageCID != "bafy" || b.Sealed != digestOf("sealed") || b.SBOMCID != "bafy"+b.SBOM || b.ProvenanceCID != "bafy"+digestOf(string(w.about[1].Data)) {
		t.Errorf("got %+v", b)
	}
	// Both travel with the image, and are of the namespace that its pods are of.
	if w.kept["ns:team "+b.ImageID] != b.ID+" bafy" || len(w.about) != 2 || digestOf(string(w.about[0].Data)) != b.SBOM || !slices.Equal(opened(t, w.about[1].Data), statement(b.ID)) {
		t.Errorf("got %v, %v", w.kept, w.about)
	}
	if s, err := q.Provenance(t.Context(), "team", b.ID); err != nil || !slices.Equal(s, w.about[1].Data) {
		t.Errorf("got %q, %v", s, err)
	}
	var names []string
	plain, err := zstd.NewReader(bytes.NewReader(w.arts[b.ArtifactID]))
	must(t, err)
	defer plain.Close()
	tr := tar.NewReader(plain)
	for h, err := tr.Next(); err == nil; h, err = tr.Next() {
		names = append(names, h.Name)
	}
	has := func(text string) bool { return slices.Contains(names, "blobs/sha256/"+digestOf(text)[7:]) }
	if len(names) != 5 || !has("app") || has("base") || !has("{}") {
		t.Errorf("the archive has %v", names)
	}
	// All of it is there after a restart, but for the source.
	stop()
	if _, err := os.Stat(filepath.Join(w.cfg.Dir, b.ID, "tree")); !os.IsNotExist(err) {
		t.Errorf("the source is still there: %v", err)
	}
	q, _ = w.run()
	again, late := ended(t, q, b.ID)
	if diff := cmp.Diff(b, again); diff != "" || len(late) != 1 || late[0].Kind != "result" {
		t.Errorf("%s, %+v", diff, late)
	}
	img, ok, err := q.Image(t.Context(), "team", b.ArtifactID)
	if err != nil || !ok || string(img.Key) != "key" || img.Build != b.ID || img.CID != "bafy" {
		t.Errorf("got %+v, %v, %v", img, ok, err)
	}
	if _, ok, _ := q.Image(t.Context(), "other", b.ArtifactID); ok {
		t.Error("another namespace has the image")
	}
	log, _, err := q.Log(t.Context(), "team", b.ID)
	if err != nil || string(log) != "main.py: print(1)\ncompiling python\nand more" {
		t.Errorf("got %q, %v", log, err)
	}
	if raw, err := os.ReadFile(filepath.Join(w.cfg.Dir, b.ID, "log")); err != nil || bytes.Contains(raw, []byte("compiling")) {
		t.Errorf("the log lies open: %v", err)
	}
	if sbom, err := q.SBOM(t.Context(), "team", b.ID); err != nil || digestOf(string(sbom)) != b.SBOM || !bytes.Contains(sbom, []byte("CycloneDX")) || !bytes.Contains(sbom, []byte("pkg:pypi/flask@3.0.0")) {
		t.Errorf("got %q, %v", sbom, err)
	}
	for _, call := range []func() error{
		func() error { _, err := q.Build(t.Context(), "other", b.ID); return err },
		func() error { _, _, err := q.Log(t.Context(), "", b.ID); return err },
		func() error { _, err := q.Provenance(t.Context(), "other", b.ID); return err },
		func() error { _, err := q.Cancel(t.Context(), "other", b.ID); return err },
	} {
		refused(t, call(), status.NotFound, "build.unknown")
	}
}

// TestGit: what is said of a commit is what was fetched; the caller's word stays his.
func TestGit(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	r := builds.Request{
		Namespace: "team", By: "x", ClaimedCommit: "feedbee", Args: []string{"binary"},
		Git: &builds.GitSource{Want: git.Want{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "main"}, Credential: &git.Credential{Password: "s3cret"}}},
	}
	b, err := q.Submit(t.Context(), r)
	must(t, err)
	b, _ = ended(t, q, b.ID)
	want := builds.Source{
		Type: "git", ClaimedCommit: "feedbee", Repository: "https://example.org/r", Ref: "main", Branch: "refs/heads/main", Commit: strings.Repeat("ab", 20),
		Tree: strings.Repeat("cd", 20), AuthorName: "Ann", AuthorEmail: "ann@example.org", Method: "archive",
	}
	if diff := cmp.Diff(want, b.Source); diff != "" || b.Status != builds.Succeeded {
		t.Errorf("%s, %+v", diff, b)
	}
	if string(w.arts[b.ArtifactID]) != "\x7fELF" || w.said[0].Binary != digestOf("\x7fELF") || w.said[0].Source.Commit != b.Source.Commit || w.said[0].Upload != "" {
		t.Errorf("got %q, %+v", w.arts[b.ArtifactID], w.said[0])
	}
	if bytes.Contains(w.docs.Get(b.ID), []byte("s3cret")) {
		t.Error("the record of an ended build has the credential")
	}
	r.Git.Path = "nowhere"
	b, err = q.Submit(t.Context(), r)
	must(t, err)
	if b, _ = ended(t, q, b.ID); b.Code != "git.path_not_found" || b.Status != builds.Failed {
		t.Errorf("got %+v", b)
	}
}

// TestZ9States looks at each state that a caller can see: only legal steps, and a
// progress that never goes back.
func TestZ9States(t *testing.T) {
	w := newWorld(t)
	broken := status.New(status.InvalidArgument, "test.broken", "broken")
	for _, step := range []string{"", "resolve", "fetch", "detect", "build", "import", "sign", "create", "upload"} {
		t.Run(step, func(t *testing.T) {
			w.broken = map[string]error{step: broken}
			q, stop := w.run()
			defer stop()
			b, err := q.Submit(t.Context(), builds.Request{Namespace: "team", Git: &builds.GitSource{Want: git.Want{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r"}}}})
			must(t, err)
			end, events := ended(t, q, b.ID)
			order := []string{"queued", "fetching", "detecting", "compiling", "sealing", "done"}
			next := map[builds.Status][]builds.Status{
				"": {builds.Pending}, builds.Pending: {builds.Pending, builds.Running, builds.Failed}, builds.Running: {builds.Running, builds.Succeeded, builds.Failed},
			}
			var last builds.Build
			for _, e := range events {
				if e.Build == nil {
					continue
				}
				b := *e.Build
				if !slices.Contains(next[last.Status], b.Status) {
					t.Errorf("from %q to %q", last.Status, b.Status)
				}
				if slices.Index(order, b.Stage) < slices.Index(order, last.Stage) || b.Progress < last.Progress || slices.Index(order, b.Stage) < 0 {
					t.Errorf("from %s (%d) to %s (%d)", last.Stage, last.Progress, b.Stage, b.Progress)
				}
				if done := b.Progress == 100; done != (b.Status == builds.Succeeded) || done != (b.Stage == "done") {
					t.Errorf("%s at %d is %s", b.Stage, b.Progress, b.Status)
				}
				last = b
			}
			if step == "" {
				if end.Status != builds.Succeeded || end.Error != "" {
					t.Errorf("got %+v", end)
				}
				return
			}
			if end.Status != builds.Failed || end.Error != "broken" || end.Code != "test.broken" || end.ArtifactID != "" || end.Finished == nil {
				t.Errorf("got %+v", end)
			}
			if len(w.pins) != 1 || len(w.arts) != 1 {
				t.Errorf("it left %v and %d artifacts", w.pins, len(w.arts))
			}
		})
	}
}

func TestFailuresOfTheBuild(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	b, err := q.Submit(t.Context(), w.upload("panic"))
	must(t, err)
	if b, _ = ended(t, q, b.ID); b.Code != "internal" || b.Status != builds.Failed || strings.Contains(b.Error, "detect") {
		t.Errorf("got %+v", b)
	}
	w.broken["build"] = errors.New("/private/path of the library")
	b, err = q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	if b, _ = ended(t, q, b.ID); b.Status != builds.Failed || strings.Contains(b.Error, "private") {
		t.Errorf("got %+v", b)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	if _, err := builds.New(builds.Config{}); status.ReasonOf(err) != "build.config" {
		t.Errorf("got %v", err)
	}
	q, stop := w.run()
	for name, change := range map[string]func(*builds.Request){
		"both":      func(r *builds.Request) { r.Git = &builds.GitSource{} },
		"neither":   func(r *builds.Request) { _ = r.Tree.Close(); r.Tree = nil },
		"namespace": func(r *builds.Request) { r.Namespace = "*" },
		"entry":     func(r *builds.Request) { r.Entry = "../x" },
		"args":      func(r *builds.Request) { r.Args = make([]string, 65) },
		"feature":   func(r *builds.Request) { r.Features = []string{strings.Repeat("f", 129)} },
		"nul":       func(r *builds.Request) { r.Args = []string{"a\x00"} },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := q.Submit(t.Context(), w.upload("x", change))
			refused(t, err, status.InvalidArgument, "build.invalid")
		})
	}
	w.docs.Fail(errors.New("full"))
	if _, err := q.Submit(t.Context(), w.upload("x")); err == nil {
		t.Error("a build that is not stored was acknowledged")
	}
	w.docs.Fail(nil)
	if left, err := os.ReadDir(w.cfg.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	stop()
	_, err := q.Submit(t.Context(), w.upload("x"))
	refused(t, err, status.Unavailable, "provider.starting")
}

func TestRepeat(t *testing.T) {
	w := newWorld(t)
	q, stop := w.run()
	id := func(r *builds.Request) { r.RequestID = [16]byte{1} }
	a, err := q.Submit(t.Context(), w.upload("x", id))
	must(t, err)
	ended(t, q, a.ID)
	stop()
	q, _ = w.run()
	b, err := q.Submit(t.Context(), w.upload("x", id))
	if must(t, err); a.ID != b.ID {
		t.Errorf("got %s and %s", a.ID, b.ID)
	}
}

// TestDeletedArtifact: the image goes with it, also over restarts.
func TestDeletedArtifact(t *testing.T) {
	w := newWorld(t)
	q, stop := w.run()
	b, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	b, _ = ended(t, q, b.ID)
	stop()
	must(t, w.Delete(t.Context(), "team", b.ArtifactID))
	before := w.docs.Get(b.ID)
	_, stop = w.run()
	eventually(t, "the image is released", func() bool {
		return !bytes.Equal(before, w.docs.Get(b.ID))
	})
	stop()
	if len(w.pins) != 0 {
		t.Errorf("pins: %v", w.pins)
	}
	q, _ = w.run()
	if _, ok, _ := q.Image(t.Context(), "team", b.ArtifactID); ok {
		t.Error("an image without its artifact")
	}
	if s, err := q.Provenance(t.Context(), "team", b.ID); err != nil || !slices.Equal(opened(t, s), statement(b.ID)) {
		t.Errorf("got %q, %v", s, err)
	}
}

// TestSaid: what is said of an image goes with its last build, unless a pod has it.
func TestSaid(t *testing.T) {
	w := newWorld(t)
	kept := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.kept)
	}
	q, stop := w.run()
	// What fails after it was said is taken back.
	w.mu.Lock()
	w.broken["create"] = errors.New("the disk is full")
	w.mu.Unlock()
	b, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	if b, _ = ended(t, q, b.ID); b.Status != builds.Failed || b.ImageID != "" || kept() != 0 || len(w.said) != 1 {
		t.Errorf("got %+v, %d are kept", b, kept())
	}
	w.mu.Lock()
	delete(w.broken, "create")
	w.mu.Unlock()
	var made []builds.Build
	for range 2 {
		b, err := q.Submit(t.Context(), w.upload("x"))
		must(t, err)
		b, _ = ended(t, q, b.ID)
		made = append(made, b)
	}
	// Another build has made the same.
	stop()
	must(t, w.Delete(t.Context(), "team", made[0].ArtifactID))
	released := func(id string) func() bool {
		return func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.pins[provider.InstanceID(provider.MadePrefix+id)] == 0
		}
	}
	_, stop = w.run()
	eventually(t, "the first image is released", released(made[0].ID))
	stop()
	if kept() != 1 {
		t.Errorf("%d are kept while another build has the image", kept())
	}
}
