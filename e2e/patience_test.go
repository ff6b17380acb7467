package e2e

import (
	"testing"

	"apocryph/e2e/harness"
)

// TestDeployTimeout gives up on an app that takes too long, says where it was,
// and how to be rid of what still comes up.
func TestDeployTimeout(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", app("late", w.Image(0, 1), "env: {DELAY: 1h}"))
	to := []string{"--provider", p.Addr(), "--policy", pol}
	pub.Fails(18, []string{
		"the deploy of late was not done after 4s; its last step was: provider ",
		"publisher delete late",
	}, append([]string{"deploy", file, "--timeout", "4s"}, to...)...)
	// It is remembered, for it may come up yet.
	if st := pub.Must("status", "late", "--json").Object(t); st["state"] == "running" || st["state"] == "failed" {
		t.Errorf("its state is %v", st)
	}
	r := pub.Fails(18, nil, append([]string{"deploy", file, "--timeout", "1ms", "--json"}, to...)...)
	if res := r.Object(t); res["exit"] != 18.0 {
		t.Errorf("the last object is %v", res)
	}
	pub.Must("delete", "late")
	if pods := harness.Pods(t, p); len(pods) > 0 {
		t.Errorf("there is %v", pods)
	}
}
