package builds_test

import (
	"strings"
	"testing"
	"time"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/builds"
)

// commitOf is a request of a publisher who comes over libp2p.
func commitOf(id provider.PublisherID) builds.Request {
	return builds.Request{
		Namespace: builds.PeerNamespace(id), By: string(id),
		Git: &builds.GitSource{Want: git.Want{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "main"}}},
	}
}

// TestPeersAreBounded: identities cost nothing, so that all publishers together leave
// room for the namespaces that the operator knows.
func TestPeersAreBounded(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	w.hold("build")
	_, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	<-w.at
	for n := range 4 {
		for range 4 {
			_, err := q.Submit(t.Context(), commitOf(provider.PublisherID("p"+string(rune('a'+n)))))
			must(t, err)
		}
	}
	_, err = q.Submit(t.Context(), commitOf("pa"))
	refused(t, err, status.ResourceExhausted, "build.queue")
	_, err = q.Submit(t.Context(), commitOf("pz"))
	refused(t, err, status.Unavailable, "build.queue_full")
	_, err = q.Submit(t.Context(), w.upload("x"))
	must(t, err)
}

// TestPeersOwnTheirBuilds: what is said of an image is of the peer whose pods may run
// it, and nobody else sees the build.
func TestPeersOwnTheirBuilds(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	b, err := q.Submit(t.Context(), commitOf("12D3"))
	must(t, err)
	b, _ = ended(t, q, b.ID)
	if b.Status != builds.Succeeded || !strings.HasPrefix(w.kept["12D3 "+b.ImageID], b.ID) || len(w.kept) != 1 {
		t.Errorf("%+v, kept %v", b, w.kept)
	}
	for _, ns := range []string{builds.PeerNamespace("12D4"), "12D3", "team"} {
		if _, err := q.Build(t.Context(), ns, b.ID); status.CodeOf(err) != status.NotFound {
			t.Errorf("%s sees it: %v", ns, err)
		}
		refused(t, q.Drop(t.Context(), ns, b.ID), status.NotFound, "build.unknown")
		if _, ok, _ := q.Image(t.Context(), ns, b.ArtifactID); ok {
			t.Errorf("%s has the image", ns)
		}
	}
}

// TestDrop gives up what waits, what runs and what has ended, and leaves nothing.
func TestDrop(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	ns := builds.PeerNamespace("p")
	done, err := q.Submit(t.Context(), commitOf("p"))
	must(t, err)
	ended(t, q, done.ID)
	w.hold("build")
	runs, err := q.Submit(t.Context(), commitOf("p"))
	must(t, err)
	<-w.at
	waits, err := q.Submit(t.Context(), commitOf("p"))
	must(t, err)
	for _, b := range []builds.Build{waits, runs, done} {
		must(t, q.Drop(t.Context(), ns, b.ID))
		refused(t, q.Drop(t.Context(), ns, b.ID), status.NotFound, "build.unknown")
	}
	if len(w.pins)+len(w.arts)+len(w.kept)+w.docs.Len() > 0 {
		t.Errorf("left pins %v, artifacts %v, statements %v, records %d", w.pins, w.arts, w.kept, w.docs.Len())
	}
}

// TestHeldForAWhile: what a publisher never ordered goes away, also after a restart;
// what a pod has stays, and so does a namespace's build.
func TestHeldForAWhile(t *testing.T) {
	w := newWorld(t)
	q, stop := w.run()
	b, err := q.Submit(t.Context(), commitOf("p"))
	must(t, err)
	b, _ = ended(t, q, b.ID)
	own, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	ended(t, q, own.ID)
	stop()

	gone := func(q *builds.Queue) bool {
		_, err := q.Build(t.Context(), "*", b.ID)
		return status.CodeOf(err) == status.NotFound
	}
	w.cfg.Now = func() time.Time { return time.Now().Add(builds.HeldFor - time.Minute) }
	q, stop = w.run()
	if gone(q) {
		t.Error("it went too soon")
	}
	stop()
	w.cfg.Now = func() time.Time { return time.Now().Add(builds.HeldFor + time.Minute) }
	q, stop = w.run()
	eventually(t, "it is forgotten", func() bool { return gone(q) })
	stop()
	if _, err := q.Build(t.Context(), "team", own.ID); err != nil {
		t.Errorf("a namespace's build went as well: %v", err)
	}
	if len(w.pins) != 1 {
		t.Errorf("pins %v", w.pins)
	}
}

// TestFewAreHeld of one publisher: the oldest makes room.
func TestFewAreHeld(t *testing.T) {
	w := newWorld(t)
	q, stop := w.run()
	for range 6 {
		b, err := q.Submit(t.Context(), commitOf("p"))
		must(t, err)
		ended(t, q, b.ID)
	}
	stop()
	if _, total, err := q.List(t.Context(), builds.PeerNamespace("p"), "", builds.Page{}); err != nil || total != 4 {
		t.Errorf("%d are held, %v", total, err)
	}
}
