package provider_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/attest/provenance"
	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// shelf keeps statements as a store would.
type shelf struct {
	mu   sync.Mutex
	kept map[string][]byte
	fail error
}

func (s *shelf) Statement(_ context.Context, owner provider.PublisherID, imageID string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[string(owner)+imageID], s.fail
}

func (s *shelf) PutStatement(_ context.Context, owner provider.PublisherID, imageID string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.kept[string(owner)+imageID] = b
	}
	return s.fail
}

func (s *shelf) DropStatement(_ context.Context, owner provider.PublisherID, imageID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, string(owner)+imageID)
	return nil
}

// kept is where the sealed image would be.
func kept([]byte) (string, error) { return "bafy", nil }

func uploadOf(imageID string, at time.Time) provenance.Build {
	sum := func(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }
	at = at.Truncate(time.Millisecond)
	return provenance.Build{ID: "build-1", Upload: sum("files"), Runtime: "static", ImageID: imageID, Image: sum("manifest"), Started: at, Finished: at}
}

// TestBuilt is logged, kept for its owner alone, named by the receipts of the
// owner's pods and signed anew by the next process.
func TestBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &shelf{kept: map[string][]byte{}}
		with := func(c *provider.Config) { c.Statements = s }
		n := w.run(with)
		img := w.image("sleep")
		envelope, err := n.Built(t.Context(), alice, uploadOf(img.ImageID, w.now()), kept)
		must(t, err)
		b, statement, err := provenance.Open(envelope, n.receiptKey())
		must(t, err)
		opened := must1(w.log.Openings(t.Context(), "build-1"))
		if len(opened) != 1 {
			t.Fatalf("%d events are logged", len(opened))
		}
		e := must1(podlog.Open(opened[0].Record, opened[0].Opening)).(*podlog.BuildDone)
		if e.ImageID.String() != img.ImageID || e.Provenance != provenance.Digest(statement) || e.CID != "bafy" || e.Source != "upload "+b.Upload {
			t.Errorf("logged %+v", e)
		}

		got := n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		other := n.deploy(order(t, bob, provider.Create, app("app", img, host("b.example"))))
		shown := func(id provider.PodID, host string, key ed25519.PublicKey) ([]manifest.Digest, [][]byte) {
			t.Helper()
			e, err := n.AttestEndpoint(t.Context(), id, host, [32]byte{1})
			must(t, err)
			r, err := receipt.Open(e.Receipt, key)
			must(t, err)
			if b.Builder != provenance.BuilderOf(r.Provider) {
				t.Errorf("builder %s, provider %s", b.Builder, r.Provider)
			}
			return r.Provenance, e.Provenance
		}
		key := n.receiptKey()
		digests, list := shown(got.PodID, "a.example", key)
		if !slices.Equal(digests, []manifest.Digest{provenance.Digest(statement)}) || len(list) != 1 || string(list[0]) != string(envelope) {
			t.Errorf("got %v and %d statements", digests, len(list))
		}
		if digests, list := shown(other.PodID, "b.example", key); len(digests)+len(list) != 0 {
			t.Errorf("another owner's pod names %v", digests)
		}

		n.stop()
		n = w.run(with)
		synctest.Wait()
		_, list = shown(got.PodID, "a.example", n.receiptKey())
		if _, again, err := provenance.Open(list[0], n.receiptKey()); err != nil || string(again) != string(statement) {
			t.Errorf("the next process shows another statement: %v", err)
		}
		if _, err := provenance.Verify(list[0], key); err == nil {
			t.Error("it is signed with the key of the last process")
		}
	})
}

func TestBuiltRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		_, err := n.Built(t.Context(), alice, uploadOf(img.ImageID, w.now()), kept)
		refused(t, err, status.Internal, "provenance.store")
		n.stop()
		s := &shelf{kept: map[string][]byte{}}
		n = w.run(func(c *provider.Config) { c.Statements = s })
		bad := uploadOf(img.ImageID, w.now())
		bad.Upload = ""
		_, err = n.Built(t.Context(), alice, bad, kept)
		refused(t, err, status.InvalidArgument, "provenance.invalid")
		if log := must1(w.log.Openings(t.Context(), "build-1")); len(log)+len(s.kept) != 0 {
			t.Error("a build that cannot be is logged or kept")
		}
		full := errors.New("the disk is full")
		_, err = n.Built(t.Context(), alice, uploadOf(img.ImageID, w.now()), func([]byte) (string, error) { return "", full })
		if log := must1(w.log.Openings(t.Context(), "build-1")); !errors.Is(err, full) || len(log)+len(s.kept) != 0 {
			t.Errorf("an image that is not kept is logged or stated: %v", err)
		}
		s.fail = full
		if _, err := n.Built(t.Context(), alice, uploadOf(img.ImageID, w.now()), kept); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		if _, err := n.provision(order(t, alice, provider.Create, app("app", img, host("a.example")))); err == nil {
			t.Error("a receipt is signed though nobody knows what it should name")
		}
	})
}

// TestBuiltInTheLog: an endpoint shows the log for builds of this boot, and opens
// nothing else of it.
func TestBuiltInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &shelf{kept: map[string][]byte{}}
		n := w.run(func(c *provider.Config) { c.Statements = s })
		img := w.image("sleep")
		must1(n.Built(t.Context(), alice, uploadOf(img.ImageID, w.now()), kept))
		must1(n.Built(t.Context(), alice, uploadOf(img.ImageID, w.now()), kept))
		got := n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		other := n.deploy(order(t, bob, provider.Create, app("app", img, host("b.example"))))
		e := must1(n.AttestEndpoint(t.Context(), got.PodID, "a.example", [32]byte{1}))
		claims := must1(attest.DecodeClaims(e.Claims))
		records := must1(podlog.DecodeList(e.Log.Records))
		head := must1(podlog.Replay(records, podlog.Head{}))
		if value := must1(head.Value(podlog.SHA384)); !bytes.Equal(value, claims.PodLogHead) || head.Length != claims.PodLogLength {
			t.Errorf("the log leads to %x, the claims have %x", value, claims.PodLogHead)
		}
		if len(e.Log.Openings) != 1 {
			t.Fatalf("%d events are opened", len(e.Log.Openings))
		}
		for seq, raw := range e.Log.Openings {
			done := must1(podlog.Open(records[seq], must1(podlog.DecodeOpening(raw)))).(*podlog.BuildDone)
			if done.PodID != "build-1" || seq+1 == head.Length {
				t.Errorf("record %d is %+v", seq, done)
			}
		}
		if e := must1(n.AttestEndpoint(t.Context(), other.PodID, "b.example", [32]byte{1})); e.Log != nil {
			t.Error("the log is shown for a pod that was not built here")
		}
	})
}

// TestWhatIsSaidOfABuild: an upload does not displace a commit, and what a pod has
// is not forgotten.
func TestWhatIsSaidOfABuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &shelf{kept: map[string][]byte{}}
		n := w.run(func(c *provider.Config) { c.Statements = s })
		img := w.image("sleep")
		said := func() provenance.Build {
			t.Helper()
			statement := must1(s.Statement(t.Context(), alice, img.ImageID))
			if statement == nil {
				return provenance.Build{}
			}
			return must1(provenance.Decode(statement))
		}
		upload := uploadOf(img.ImageID, w.now())
		git := upload
		git.ID, git.Upload, git.Source = "build-2", "", &provenance.Source{
			Repository: "file:///srv/site", Branch: "refs/heads/main", Method: "clone", Object: []byte(commitObject),
			Commit: "6b073e8ed4be07c8800c5ad19dbd1f1b9774eb91", Tree: "9bedf67800b2923982bdf60c89c57ce6fd2d9a1c",
		}
		must1(n.Built(t.Context(), alice, upload, kept))
		if said().ID != "build-1" {
			t.Errorf("got %+v", said())
		}
		must1(n.Built(t.Context(), alice, git, kept))
		upload.ID = "build-3"
		envelope := must1(n.Built(t.Context(), alice, upload, kept))
		if b := must1(provenance.Verify(envelope, n.receiptKey())); b.ID != "build-3" || said().ID != "build-2" {
			t.Errorf("an upload gets %s and leaves %s", b.ID, said().ID)
		}
		git.ID = "build-4"
		must1(n.Built(t.Context(), alice, git, kept))
		if said().ID != "build-4" {
			t.Errorf("a later build of a commit leaves %s", said().ID)
		}
		if _, err := n.SignBuilt([]byte("{}")); status.ReasonOf(err) != "provenance.parse" {
			t.Errorf("anything is signed: %v", err)
		}

		n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		refused(t, n.DropBuilt(t.Context(), alice, img.ImageID), status.Conflict, "provenance.in_use")
		must(t, n.DropBuilt(t.Context(), bob, img.ImageID))
		if said().ID == "" {
			t.Error("another owner drops it")
		}
		must(t, n.Delete(t.Context(), alice, "app", false))
		synctest.Wait()
		must(t, n.DropBuilt(t.Context(), alice, img.ImageID))
		if said().ID != "" {
			t.Error("it is there still")
		}
	})
}

const commitObject = "tree 9bedf67800b2923982bdf60c89c57ce6fd2d9a1c\n" +
	"author Ann <ann@example.org> 1763719200 +0000\ncommitter Ann <ann@example.org> 1763719200 +0000\n\na page\n"
