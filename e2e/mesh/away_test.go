package mesh

import (
	"context"
	"testing"
	"time"

	"apocryph/attest/policy"
	"apocryph/proto/status"
	"apocryph/publisher"
)

const (
	// imageSize is what a provider has to fetch, halfway the part of it after
	// which the line to the publisher stands still.
	imageSize = 6 << 20
	halfway   = 2 << 20
)

// vanishesHalfway deploys over a line that stands still in the middle of the
// image, and takes the publisher away then.
func vanishesHalfway(t *testing.T, h *host, a *author, pol *policy.Policy, manifest string) {
	t.Helper()
	l := newLine(t, h.info.Addrs[0], halfway)
	ctx, vanish := context.WithCancel(t.Context())
	defer vanish()
	ended := make(chan error, 1)
	go func() {
		_, err := a.deploy(ctx, job{manifest: manifest, to: targetOf(t, l.addr), policy: pol})
		ended <- err
	}()
	happens(t, "the line stands still", l.held)
	if pods := h.pods(); len(pods) != 1 || pods[0].State != "fetching" {
		t.Errorf("while the image is fetched there are %+v", pods)
	}
	vanish()
	refused(t, answerOf(t, ended), status.Canceled, "")
	l.cut()
	pending(t, a)
}

// TestPublisherComesBack: a publisher vanishes while its image is fetched. The
// pod waits for it; its next deploy, or its delete, is taken up.
func TestPublisherComesBack(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAuthor(t)
	pol := a.policy(h.target())
	text := app("patient", image(t, imageSize))
	vanishesHalfway(t, h, a, pol, text)
	d, err := a.deploy(t.Context(), job{manifest: text, to: h.target(), policy: pol})
	must(t, err)
	if d.App.Revision != 2 || d.App.Pending != nil {
		t.Errorf("the app is %+v", d.App)
	}
	must(t, a.delete(h.target(), "patient"))
	h.clean()

	vanishesHalfway(t, h, a, pol, app("patient", image(t, imageSize)))
	must(t, a.delete(h.target(), "patient"))
	h.clean()
}

// TestPublisherStaysAway: the pod of a publisher that vanished while its image
// was fetched fails when the provider's patience of two minutes is over. Its
// record says why; nothing else is left, and the name is free.
func TestPublisherStaysAway(t *testing.T) {
	t.Parallel()
	h, c := newClockedHost(t)
	a := newAuthor(t)
	pol, text := a.policy(h.target()), app("orphan", image(t, imageSize))
	vanishesHalfway(t, h, a, pol, text)
	if got := h.free(); got == h.all() {
		t.Error("a pod that waits for its image is charged nothing")
	}
	c.pass(2 * time.Minute)
	eventually(t, "the pod fails", func() bool {
		pods := h.pods()
		return len(pods) == 1 && pods[0].State == "failed"
	})
	h.empty()
	if got := h.free(); got != h.all() {
		t.Errorf("%s are free, want %s", got, h.all())
	}
	pods, err := a.status(h.target(), "orphan")
	must(t, err)
	if pods[0].State != "failed" || pods[0].Reason != "the content did not arrive" {
		t.Errorf("the publisher sees %+v", pods)
	}
	must(t, a.delete(h.target(), "orphan"))
	h.clean()
}

// TestReservationEnds: a publisher that attested, was promised all of the
// machine, and vanished before it sent anything keeps it from others for five
// minutes and no longer.
func TestReservationEnds(t *testing.T) {
	t.Parallel()
	h, c := newClockedHost(t)
	a, b := newAuthor(t), newAuthor(t)
	to, pol, img := h.target(), a.policy(h.target()), image(t, 1<<10)
	j := job{manifest: large("big", img, h.cores()), to: to, policy: pol}
	ctx, vanish := context.WithCancel(t.Context())
	defer vanish()
	lost := j
	lost.on = func(e publisher.Event) {
		if e.Event == "publish" {
			vanish()
		}
	}
	_, err := a.deploy(ctx, lost)
	refused(t, err, status.Canceled, "")
	if apps := a.apps(); len(apps) != 0 {
		t.Errorf("the publisher remembers %+v", apps)
	}
	if pods := h.pods(); len(pods) != 0 {
		t.Errorf("the provider has %+v", pods)
	}
	_, err = b.deploy(t.Context(), j)
	refused(t, err, status.ResourceExhausted, "capacity.cpu")
	if got := h.free(); got != "0" {
		t.Errorf("%s are free", got)
	}
	c.pass(5 * time.Minute)
	h.clean()
	// By then the provider's clock is far ahead of the others', who do not
	// believe its evidence; the machine is theirs again when it is set right.
	c.pass(-5 * time.Minute)
	_, err = b.deploy(t.Context(), j)
	must(t, err)
	must(t, b.delete(to, "big"))
	h.clean()
}
