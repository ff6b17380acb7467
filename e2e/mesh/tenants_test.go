package mesh

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// TestTwoTenants: two publishers deploy a pod of the same name at the same
// moment. Each has its own, and can do nothing to the other's.
func TestTwoTenants(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	to := h.target()
	alice, bob := newAuthor(t), newAuthor(t)
	pol := alice.policy(to)
	var apps [2]publisher.App
	var group errgroup.Group
	for i, a := range []*author{alice, bob} {
		greeting := []string{"alice", "bob"}[i]
		img := image(t, 64<<10)
		group.Go(func() error {
			d, err := a.deploy(t.Context(), job{
				manifest: app("shop", img, "env: {GREETING: "+greeting+"}", "args: [echo, "+greeting+", ;, sleep]"), to: to, policy: pol,
			})
			if err == nil {
				apps[i] = d.App
			}
			return err
		})
	}
	must(t, group.Wait())
	_, err := alice.deploy(t.Context(), job{manifest: app("private", image(t, 1<<10)), to: to, policy: pol})
	must(t, err)
	if apps[0].PodID == apps[1].PodID || apps[0].URL == apps[1].URL {
		t.Errorf("the pods are the same: %+v", apps)
	}

	for i, a := range []*author{alice, bob} {
		who := []string{"alice", "bob"}[i]
		if body := fetch(t, apps[i].URL, "tcp", apps[i].Endpoints[0].Dial); !strings.HasPrefix(body, who) {
			t.Errorf("%s's app answers %q", who, body)
		}
		if lines, err := a.logs(to, "shop"); err != nil || !slices.Equal(lines, []string{who}) {
			t.Errorf("%s's app wrote %q, %v", who, lines, err)
		}
		pods, err := a.status(to, "shop")
		if err != nil || len(pods) != 1 || pods[0].PodID != apps[i].PodID {
			t.Errorf("%s sees %+v, %v", who, pods, err)
		}
	}
	all, err := bob.status(to, "")
	must(t, err)
	if len(all) != 1 || all[0].PodID != apps[1].PodID {
		t.Errorf("bob lists %+v", all)
	}

	// A foreign pod and one that is not there are answered alike.
	for _, name := range []string{"private", "no-such-pod"} {
		_, err = bob.status(to, name)
		refused(t, err, status.NotFound, "pod.unknown")
		_, err = bob.logs(to, name)
		refused(t, err, status.NotFound, "pod.unknown")
		refused(t, bob.delete(to, name), status.NotFound, "pod.unknown")
	}
	must(t, bob.delete(to, "shop"))
	if pods, err := alice.status(to, ""); err != nil || len(pods) != 2 || pods[0].State != "running" || pods[1].State != "running" {
		t.Errorf("after bob's delete alice has %+v, %v", pods, err)
	}
	must(t, errors.Join(alice.delete(to, "shop"), alice.delete(to, "private")))
	h.clean()
}

// TestFollowedLogsEndWithTheirReader: a publisher that vanishes in the middle
// of a followed log takes nothing with it, and the provider's call ends.
func TestFollowedLogsEndWithTheirReader(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAuthor(t)
	to := h.target()
	_, err := a.deploy(t.Context(), job{manifest: app("chatty", image(t, 1<<10)), to: to, policy: a.policy(to)})
	must(t, err)
	for range 3 {
		ctx, vanish := context.WithCancel(t.Context())
		err := a.node.Do(ctx, false, func(ctx context.Context, s *publisherd.Session) error {
			if err := s.Reach(ctx, *to); err != nil {
				return err
			}
			return s.Pods.FollowLogs(ctx, to.ID, publisher.LogQuery{Name: "chatty", Follow: true}, func(publisher.LogLine) error {
				vanish()
				return nil
			})
		})
		refused(t, err, status.Canceled, "")
	}
	if pods, err := a.status(to, "chatty"); err != nil || pods[0].State != "running" {
		t.Errorf("got %+v, %v", pods, err)
	}
	must(t, a.delete(to, "chatty"))
	h.clean()
	// A call that hung would hold the stop for its whole budget of 20 s.
	began := time.Now()
	h.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the provider stopped after %s", took)
	}
}

// TestContentIsForWhomItWasGranted: while a pod is deployed, its image can be
// fetched by its provider alone, from neither side by anybody else.
func TestContentIsForWhomItWasGranted(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAuthor(t)
	to, f := h.target(), newThief(t)
	var node *publisherd.Session
	var root string
	var atPublisher, atProvider, public error
	tried := false
	d, err := a.deploy(t.Context(), job{
		manifest: app("hello", image(t, 300<<10)), to: to, policy: a.policy(to),
		online: func(s *publisherd.Session) { node = s },
		on: func(e publisher.Event) {
			switch {
			case e.Event == "publish":
				root = e.Text
			case e.Stage == "healthy":
				tried = true
				self := node.Addrs()[0]
				atPublisher, atProvider = f.fetch(self, root), f.fetch(h.info.Addrs[0], root)
				// The same question is answered once the image is public. Nobody is there
				// to announce it to, which is no matter.
				_ = node.Images.MakePublic(t.Context(), root)
				public = f.fetch(self, root)
			}
		},
	})
	must(t, err)
	if !tried || d.App.Images[0].CID != root {
		t.Fatalf("the image %s was not asked for; it is %s", root, d.App.Images[0].CID)
	}
	refused(t, atPublisher, status.PermissionDenied, "content.denied")
	refused(t, atProvider, status.PermissionDenied, "content.denied")
	must(t, public)
	must(t, a.delete(to, "hello"))
	h.clean()
}
