package provider_test

import (
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
