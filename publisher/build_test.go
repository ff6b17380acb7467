package publisher_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest/commit"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/attest/provenance"
	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// rawCommit is a commit object without a signature.
var rawCommit = []byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@example.org> 1700000000 +0000\ncommitter A <a@example.org> 1700000000 +0000\n\nfirst\n")

const (
	builtCID = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
	builtRef = "main"
)

func digestText(s string) string { return "sha256:" + strings.Repeat(s, 32) }

// builder is how the fake providers build.
type builder struct {
	w *world
	f *fake
	// said changes a statement before it is signed, key who signs, got the answer.
	said func(*provenance.Build)
	key  ed25519.PrivateKey
	got  func(*publisher.Built)
	// logs changes what the pod log has of the build; nil logs nothing.
	logs func(*podlog.BuildDone)
	// errs are answered first, one a call.
	errs []error
	asks []publisher.BuildRequest
}

func (b *builder) BuildImage(_ context.Context, at publisher.ProviderID, req publisher.BuildRequest, report func(publisher.BuildProgress)) (publisher.Built, error) {
	b.w.note("build %s", at)
	b.asks = append(b.asks, req)
	report(publisher.BuildProgress{ID: "id", Stage: "fetching", Percent: 5})
	if len(b.errs) > 0 {
		err := b.errs[0]
		b.errs = b.errs[1:]
		return publisher.Built{}, err
	}
	report(publisher.BuildProgress{ID: "id", Line: "a line"})
	id, err := peer.IDFromBytes(b.f.peer)
	must(b.w.t, err)
	c, err := commit.Parse(rawCommit)
	must(b.w.t, err)
	said := provenance.Build{
		ID: "id", Builder: provenance.BuilderOf(id.String()), Runtime: "static", ImageID: digestText("ab"), Image: digestText("cd"),
		Source: &provenance.Source{
			Repository: "https://github.com/o/r", Ref: builtRef, Branch: "refs/heads/main", Commit: c.ID, Tree: c.Tree, Object: rawCommit, Method: "clone",
		},
		Started: b.w.now().Truncate(time.Millisecond), Finished: b.w.now().Truncate(time.Millisecond),
	}
	if b.said != nil {
		b.said(&said)
	}
	payload, err := provenance.Encode(said)
	must(b.w.t, err)
	key := b.f.sign
	if b.key != nil {
		key = b.key
	}
	envelope, err := provenance.Sign(payload, key)
	must(b.w.t, err)
	out := publisher.Built{
		ID: "id", Image: manifest.Image{CID: builtCID, EncryptedDigest: digestText("ef"), ImageID: digestText("ab"), KeyID: "made"}, Key: []byte("its key"),
		Provenance: envelope, Runtime: "static",
	}
	// The receipt names what was said, as that of a provider does.
	b.f.built = [][]byte{envelope}
	if b.logs != nil {
		image, err := manifest.ParseDigest(out.Image.ImageID)
		must(b.w.t, err)
		done := podlog.BuildDone{At: said.Finished, PodID: out.ID, Source: "c r", ImageID: image, CID: builtCID, Provenance: provenance.Digest(payload)}
		b.logs(&done)
		b.f.logged = []podlog.BuildDone{done}
	}
	b.f.receipted = func(r *receipt.Receipt) ed25519.PrivateKey {
		r.Provenance = []manifest.Digest{provenance.Digest(payload)}
		return b.f.sign
	}
	if b.got != nil {
		b.got(&out)
	}
	return out, nil
}

func (b *builder) DropBuild(_ context.Context, at publisher.ProviderID, id string) error {
	b.w.note("drop %s %s", at, id)
	return nil
}

// gitWorld is a world in which a provider builds gh:o/r#main.
func gitWorld(t *testing.T) (*world, *builder, publisher.DeployRequest) {
	w := newWorld(t)
	p := w.provider("p")
	id, err := peer.IDFromBytes(p.peer)
	must(t, err)
	// What is signed names the peer, so it goes by its own name.
	delete(w.nets, p.id)
	p.id = publisher.ProviderID(id.String())
	w.nets[p.id], w.order = p, []publisher.ProviderID{p.id}
	b := &builder{w: w, f: p}
	w.Builds = b
	s, err := slug.Parse("gh:o/r#" + builtRef)
	must(t, err)
	req := w.request(to(p))
	req.Manifest.Containers[0].Image.Ref = publisher.BuildRef
	req.Source = &publisher.Source{Slug: s}
	return w, b, req
}

func TestDeployOfACommit(t *testing.T) {
	w, b, req := gitWorld(t)
	req.Source.Path, b.said = "site", func(s *provenance.Build) { s.Source.Path = "site" }
	d, err := w.service().Deploy(t.Context(), req)
	must(t, err)
	if got := w.done("resolve", "seal", "publish", "grant", "drop"); len(got) > 0 {
		t.Errorf("did %q", got)
	}
	if build, order := slices.IndexFunc(w.did, func(s string) bool { return strings.HasPrefix(s, "build") }), slices.Index(w.did, "encode"); build < 0 || build > order {
		t.Errorf("the order came before the build: %q", w.did)
	}
	if a := b.asks[0]; a.Source != "gh:o/r#main" || a.Path != "site" || a.ClaimsDigest == [32]byte{} || a.RequestID == [16]byte{} {
		t.Errorf("asked for %+v", a)
	}
	m, err := manifest.Unmarshal(w.orders[0].Manifest)
	must(t, err)
	if i := m.Containers[0].Image; i.CID != builtCID || i.KeyID != "made" || i.ImageID != digestText("ab") {
		t.Errorf("the manifest pins %+v", i)
	}
	if !maps.EqualFunc(w.orders[0].Keys, map[string][]byte{"made": []byte("its key")}, slices.Equal[[]byte]) {
		t.Errorf("keys %q", w.orders[0].Keys)
	}
	if w.orders[0].ReservationID == "" {
		t.Error("nothing was reserved after the build")
	}
	c, err := commit.Parse(rawCommit)
	must(t, err)
	if d.Built == nil || d.Built.Commit != c.ID || d.Built.Repository != "https://github.com/o/r" || d.App.Images[0].Commit != c.ID || d.App.Images[0].Statement != d.Built.Statement {
		t.Errorf("built %+v, images %+v", d.Built, d.App.Images)
	}
	if req.Manifest.Containers[0].Image.Ref != publisher.BuildRef || req.Manifest.Containers[0].Image.CID != "" {
		t.Error("the caller's manifest was changed")
	}
}

// TestBuildsThatAreRefused: whatever of a build is not what was asked for, nothing is
// sent, nothing is remembered, and the build is dropped.
func TestBuildsThatAreRefused(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(make([]byte, 32))
	sshKey := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl a@example.org"
	for name, c := range map[string]struct {
		spoil  func(*builder, *publisher.DeployRequest)
		reason string
	}{
		"another key": {func(b *builder, _ *publisher.DeployRequest) { b.key = stranger }, "build.provenance"},
		"no statement": {func(b *builder, _ *publisher.DeployRequest) {
			b.got = func(g *publisher.Built) { g.Provenance = nil }
		}, "build.provenance"},
		"another builder": {func(b *builder, _ *publisher.DeployRequest) {
			b.said = func(s *provenance.Build) { s.Builder = provenance.BuilderOf("somebody") }
		}, "build.other"},
		"another repository": {func(b *builder, _ *publisher.DeployRequest) {
			b.said = func(s *provenance.Build) { s.Source.Repository = "https://github.com/o/fork" }
		}, "build.other"},
		"another branch": {func(b *builder, _ *publisher.DeployRequest) {
			b.said = func(s *provenance.Build) { s.Source.Branch = "refs/heads/evil" }
		}, "build.other"},
		"another branch than --branch": {func(_ *builder, r *publisher.DeployRequest) { r.Source.Branch = "release" }, "build.other"},
		"a tag for --branch": {func(b *builder, r *publisher.DeployRequest) {
			r.Source.Branch, b.said = "main", func(s *provenance.Build) { s.Source.Branch = "refs/tags/main" }
		}, "build.other"},
		"another ref": {func(b *builder, _ *publisher.DeployRequest) {
			b.said = func(s *provenance.Build) { s.Source.Ref = "other" }
		}, "build.other"},
		"another commit": {func(b *builder, r *publisher.DeployRequest) {
			r.Source.Slug.Ref = strings.Repeat("a", 40)
			b.said = func(s *provenance.Build) { s.Source.Ref = r.Source.Slug.Ref }
		}, "build.other"},
		"another short commit": {func(b *builder, r *publisher.DeployRequest) {
			r.Source.Slug.Ref = "aaaaaaa"
			b.said = func(s *provenance.Build) { s.Source.Ref = r.Source.Slug.Ref }
		}, "build.other"},
		"another path":    {func(_ *builder, r *publisher.DeployRequest) { r.Source.Path = "site" }, "build.other"},
		"another runtime": {func(_ *builder, r *publisher.DeployRequest) { r.Source.Runtime = "python" }, "build.other"},
		"another entry":   {func(_ *builder, r *publisher.DeployRequest) { r.Source.Entry = "main.py" }, "build.other"},
		"an upload": {func(b *builder, _ *publisher.DeployRequest) {
			b.said = func(s *provenance.Build) { s.Source, s.Upload = nil, digestText("00") }
		}, "build.other"},
		"another image": {func(b *builder, _ *publisher.DeployRequest) {
			b.got = func(g *publisher.Built) { g.Image.ImageID = digestText("99") }
		}, "build.other"},
		"another id": {func(b *builder, _ *publisher.DeployRequest) {
			b.said = func(s *provenance.Build) { s.ID = "other" }
		}, "build.other"},
		"no key": {func(b *builder, _ *publisher.DeployRequest) {
			b.got = func(g *publisher.Built) { g.Key = nil }
		}, "build.other"},
		"no cid": {func(b *builder, _ *publisher.DeployRequest) {
			b.got = func(g *publisher.Built) { g.Image.CID = "" }
		}, "build.other"},
		"no signature": {func(_ *builder, r *publisher.DeployRequest) {
			r.Source.Signers = policy.Signers{SSH: []string{sshKey}}
		}, "build.signer"},
		"the policy's repositories": {func(_ *builder, r *publisher.DeployRequest) {
			r.Policy.Provenance = &policy.Provenance{Repositories: []string{"https://github.com/o/other"}}
		}, "build.denied"},
		"the policy's branches": {func(_ *builder, r *publisher.DeployRequest) {
			r.Policy.Provenance = &policy.Provenance{Branches: []string{"release"}}
		}, "build.denied"},
		"the policy's signers": {func(_ *builder, r *publisher.DeployRequest) {
			r.Policy.Provenance = &policy.Provenance{Signers: policy.Signers{SSH: []string{sshKey}}}
		}, "build.denied"},
		"the policy's runtimes": {func(_ *builder, r *publisher.DeployRequest) {
			r.Policy.Provenance = &policy.Provenance{Runtimes: []string{"python"}}
		}, "build.denied"},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, req := gitWorld(t)
			c.spoil(b, &req)
			_, err := w.service().Deploy(t.Context(), req)
			refused(t, err, status.Untrusted, c.reason)
			if got := w.done("encode", "provision", "save", "grant"); len(got) > 0 {
				t.Errorf("did %q", got)
			}
			if len(w.done("drop")) != 1 {
				t.Error("the build was not dropped")
			}
		})
	}
}

// TestRefsOfCommits are what a statement may name for a ref.
func TestRefsOfCommits(t *testing.T) {
	c, err := commit.Parse(rawCommit)
	must(t, err)
	for name, x := range map[string]struct{ ref, branch, said string }{
		"no ref":          {"", "", "refs/heads/trunk"},
		"a branch":        {"v1", "", "refs/heads/v1"},
		"a tag":           {"v1", "", "refs/tags/v1"},
		"a full name":     {"refs/tags/v1", "", "refs/tags/v1"},
		"a commit":        {c.ID, "", "refs/heads/trunk"},
		"a short one":     {c.ID[:8], "", "refs/heads/trunk"},
		"on a branch":     {c.ID, "release", "refs/heads/release"},
		"on a full one":   {c.ID, "refs/heads/release", "refs/heads/release"},
		"hex of a branch": {"deadbeef", "", "refs/heads/deadbeef"},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, req := gitWorld(t)
			req.Source.Slug.Ref, req.Source.Branch = x.ref, x.branch
			b.said = func(s *provenance.Build) { s.Source.Ref, s.Source.Branch = x.ref, x.said }
			_, err := w.service().Deploy(t.Context(), req)
			must(t, err)
		})
	}
}

// TestReceiptNamesTheStatement: a pod whose receipt does not name what was said of the
// build could show its users something else.
func TestReceiptNamesTheStatement(t *testing.T) {
	w, b, req := gitWorld(t)
	b.got = func(*publisher.Built) { b.f.receipted = nil }
	_, err := w.service().Deploy(t.Context(), req)
	refused(t, err, status.Untrusted, "receipt.provenance")

	// Another build of the same image may be the one that the provider shows.
	w, b, req = gitWorld(t)
	b.got = func(*publisher.Built) {
		b.f.receipted = func(r *receipt.Receipt) ed25519.PrivateKey {
			r.Provenance = []manifest.Digest{{1}}
			return b.f.sign
		}
	}
	d, err := w.service().Deploy(t.Context(), req)
	must(t, err)
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], d.Built.Statement) {
		t.Errorf("warnings %q", d.Warnings)
	}
}

func TestBuildThatIsNotMade(t *testing.T) {
	busy := status.New(status.ResourceExhausted, "build.queue", "busy").WithRetryAfter(time.Nanosecond)
	lost := status.New(status.Unavailable, "peer.lost", "lost")
	for name, c := range map[string]struct {
		errs   []error
		builds int
		reason string
	}{
		"refused":              {[]error{status.New(status.InvalidArgument, "git.ref_not_found", "no")}, 1, "git.ref_not_found"},
		"no builds":            {[]error{status.New(status.Unimplemented, "build.none", "no")}, 1, "build.none"},
		"lost once":            {[]error{lost}, 2, ""},
		"lost for good":        {[]error{lost, lost, lost, lost}, 3, "peer.lost"},
		"full, and later free": {[]error{busy}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, req := gitWorld(t)
			b.errs = c.errs
			_, err := w.service().Deploy(t.Context(), req)
			if status.ReasonOf(err) != c.reason || c.reason == "" && err != nil {
				t.Fatalf("got %v, want %q", err, c.reason)
			}
			if len(b.asks) != c.builds {
				t.Errorf("asked %d times, want %d", len(b.asks), c.builds)
			}
			for _, a := range b.asks {
				if a.RequestID != b.asks[0].RequestID {
					t.Error("a repetition has another request id")
				}
			}
			if c.reason != "" && len(w.done("encode")) > 0 {
				t.Error("an order was made")
			}
		})
	}
}

func TestSourceWithoutContainer(t *testing.T) {
	w, _, req := gitWorld(t)
	req.Manifest.Containers[0].Image.Ref = "oci:image"
	_, err := w.service().Deploy(t.Context(), req)
	refused(t, err, status.InvalidArgument, "deploy.source")
	if len(w.did) > 0 {
		t.Errorf("did %q", w.did)
	}
}

// TestHistoryShowsCommits of what was deployed from here, and nothing that the
// provider alone says.
func TestHistoryShowsCommits(t *testing.T) {
	w, _, _ := gitWorld(t)
	id := w.order[0]
	f := w.nets[id]
	known := publisher.AppImage{Container: "web", CID: builtCID, ImageID: digestText("ab"), Commit: hex.EncodeToString(make([]byte, 20))}
	app := publisher.App{Name: "app", Provider: publisher.Target{ID: id}, Revision: 2, Images: []publisher.AppImage{known}}
	b, err := manifest.Marshal(&manifest.Manifest{
		Name: "app", RuntimeClass: "runc", Replicas: manifest.Replicas{Min: 1, Max: 1},
		Containers: []manifest.Container{{
			Name: "web", Image: manifest.Image{CID: builtCID, EncryptedDigest: digestText("ef"), ImageID: digestText("ab")},
			Resources: manifest.Resources{CPUMillis: 100, MemoryBytes: 64 << 20, PIDs: 16},
		}},
	})
	must(t, err)
	f.kept = []keptRevision{{1, b, nil}, {2, b, nil}}
	got, err := w.service().History(t.Context(), app)
	must(t, err)
	for _, r := range got {
		for _, i := range r.Images {
			if i.Commit != known.Commit {
				t.Errorf("revision %d shows %q", r.Revision, i.Commit)
			}
		}
	}
	if len(got) == 0 {
		t.Error(fmt.Sprint(got))
	}
}
