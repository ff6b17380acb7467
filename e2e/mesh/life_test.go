package mesh

import (
	"slices"
	"strings"
	"testing"

	"apocryph/proto/status"
)

// TestLife is the whole life of a pod between two nodes of one process: deploy,
// look, update, a provider that goes and comes back, delete.
func TestLife(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAuthor(t)
	to, img := h.target(), image(t, 300<<10)
	pol := a.policy(to)
	var did recorder
	first, err := a.deploy(t.Context(), job{manifest: app("hello", img, "env: {GREETING: one}"), to: to, policy: pol, on: did.note})
	must(t, err)
	for _, step := range []string{"attest", "verdict", "seal", "publish", "provision accepted", "provision healthy", "answer"} {
		if !slices.Contains(did.all(), step) {
			t.Errorf("step %q is not among %q", step, did.all())
		}
	}
	answers := func(url, dial, want string) {
		t.Helper()
		eventually(t, url+" answers "+want, func() bool { return strings.Contains(fetch(t, url, "tcp", dial), want) })
	}
	dial := first.App.Endpoints[0].Dial
	answers(first.App.URL, dial, "one from hello")
	lines, err := a.logs(to, "hello")
	must(t, err)
	if !slices.Equal(lines, []string{"ready"}) {
		t.Errorf("the pod wrote %q", lines)
	}

	// The node ends and comes back over the same data directory: the container
	// was never touched.
	before, err := h.runtime.List(t.Context())
	must(t, err)
	h.stop()
	if apps := a.apps(); len(apps) != 1 || apps[0].Pending != nil {
		t.Errorf("the publisher remembers %+v", apps)
	}
	_, err = a.status(to, "hello")
	refused(t, err, status.Unavailable, "peer.unreachable")
	h.start()
	answers(first.App.URL, dial, "one from hello")
	pods, err := a.status(to, "hello")
	must(t, err)
	if len(pods) != 1 || pods[0].State != "running" || pods[0].Revision != 1 || pods[0].Containers[0].Restarts != 0 {
		t.Errorf("after the restart: %+v", pods)
	}
	if after, err := h.runtime.List(t.Context()); err != nil || after[0].ID != before[0].ID || after[0].IP != before[0].IP {
		t.Errorf("the instance was %+v and is %+v, %v", before, after, err)
	}

	// Without a provider named, an update goes where the app is.
	second, err := a.deploy(t.Context(), job{manifest: app("hello", img, "env: {GREETING: two}"), policy: pol})
	must(t, err)
	if second.App.Revision != 2 || second.App.URL != first.App.URL || second.App.PodID != first.App.PodID {
		t.Errorf("the update is %+v", second.App)
	}
	answers(first.App.URL, dial, "two from hello")

	must(t, a.delete(to, "hello"))
	_, err = a.status(to, "hello")
	refused(t, err, status.NotFound, "pod.unknown")
	if apps := a.apps(); len(apps) != 0 {
		t.Errorf("the publisher remembers %+v", apps)
	}
	h.clean()
}
