package mesh

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"apocryph/proto/status"
)

// large is an app of one container with that many thousandths of a core.
func large(name, img string, millis uint64) string {
	return strings.Replace(app(name, img), "cpu: 100m", fmt.Sprintf("cpu: %dm", millis), 1)
}

// TestLastCore: two publishers deploy at once what fits once. One has its pod,
// the other a refusal that names the resource; when the pod is gone it fits.
func TestLastCore(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	to, half := h.target(), h.cores()/2+1
	authors := [2]*author{newAuthor(t), newAuthor(t)}
	var errs [2]error
	var group errgroup.Group
	pol := authors[0].policy(to)
	jobs := [2]job{}
	for i, a := range authors {
		jobs[i] = job{manifest: large("big", image(t, 1<<10), half), to: to, policy: pol}
		group.Go(func() error {
			_, errs[i] = a.deploy(t.Context(), jobs[i])
			return nil
		})
	}
	must(t, group.Wait())
	winner, loser := 0, 1
	if errs[0] != nil {
		winner, loser = 1, 0
	}
	must(t, errs[winner])
	refused(t, errs[loser], status.ResourceExhausted, "capacity.cpu")
	faults := status.Public(errs[loser]).Faults
	want := status.Fault{Field: "cpu", Got: coresText(h.cores()-half) + " available", Want: coresText(half)}
	if len(faults) != 1 || faults[0] != want {
		t.Errorf("the refusal has the faults %+v, want %+v", faults, want)
	}
	if apps := authors[loser].apps(); len(apps) != 0 {
		t.Errorf("the loser remembers %+v", apps)
	}
	if pods, err := authors[loser].status(to, ""); err != nil || len(pods) != 0 {
		t.Errorf("the loser has %+v, %v", pods, err)
	}
	must(t, authors[winner].delete(to, "big"))
	_, err := authors[loser].deploy(t.Context(), jobs[loser])
	must(t, err)
	must(t, authors[loser].delete(to, "big"))
	h.clean()
}

// TestUpdateKeepsItsPlace: an update is charged in place of what it replaces,
// and one that does not fit leaves the pod and its charge alone.
func TestUpdateKeepsItsPlace(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAuthor(t)
	to, all, img := h.target(), h.cores(), image(t, 1<<10)
	j := job{to: to, policy: a.policy(to)}
	for _, c := range []struct {
		millis uint64
		reason string
	}{{all/2 + 1, ""}, {all, ""}, {all + 1, "capacity.cpu"}, {all / 2, ""}} {
		j.manifest = large("big", img, c.millis)
		_, err := a.deploy(t.Context(), j)
		if c.reason != "" {
			refused(t, err, status.ResourceExhausted, c.reason)
			continue
		}
		must(t, err)
		if got, want := h.free(), coresText(all-c.millis); got != want {
			t.Errorf("with %dm taken %s are free, want %s", c.millis, got, want)
		}
	}
	pods, err := a.status(to, "big")
	must(t, err)
	if pods[0].Revision != 3 || pods[0].State != "running" {
		t.Errorf("the pod is %+v", pods)
	}
	if apps := a.apps(); len(apps) != 1 || apps[0].Revision != 3 || apps[0].Pending != nil {
		t.Errorf("the publisher remembers %+v", apps)
	}
	must(t, a.delete(to, "big"))
	h.clean()
}
