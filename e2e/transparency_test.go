package e2e

import (
	"os"
	"testing"

	"apocryph/e2e/harness"
)

// entries is what the publisher saw of a provider's log.
func entries(t *testing.T, pub *harness.Publisher, p *harness.Provider) (size float64, releases int) {
	t.Helper()
	o := pub.Must("transparency", "show", p.Addr(), "--json").Object(t)
	if c := o["conflicts"].([]any); len(c) != 0 {
		t.Errorf("conflicts: %v", c)
	}
	return o["size"].(float64), len(o["releases"].([]any))
}

// TestTransparency: the log is seen to grow over attestations, a deploy and the
// provider's death; an old copy of its store put back is noticed.
func TestTransparency(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub, other := w.Publisher("publisher"), w.Publisher("other")
	pol := pub.Policy(p)
	pub.Must("attest", p.Addr(), "--policy", pol)
	first, releases := entries(t, pub, p)
	if first < 1 || releases != 0 {
		t.Errorf("%v entries, %d releases", first, releases)
	}
	store := w.Path("provider/state.db")
	file := w.Write("app.yaml", app("open", w.Image(0, 3)))
	pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol)
	deployed, releases := entries(t, pub, p)
	if deployed < first+2 || releases != 1 {
		t.Errorf("after the deploy: %v entries, %d releases", deployed, releases)
	}
	other.Must("attest", p.Addr(), "--policy", pol)
	p.Kill()
	p.Start()
	pub.Must("attest", p.Addr(), "--policy", pol)
	again, _ := entries(t, pub, p)
	if again < deployed+2 {
		t.Errorf("after the restart: %v entries, want at least %v", again, deployed+2)
	}
	pub.Must("delete", "open")
	if code := p.Stop(); code != 0 {
		t.Errorf("the provider exited with %d", code)
	}
	newest, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	// An empty store is older than all.
	if err := os.Remove(store); err != nil {
		t.Fatal(err)
	}
	if err := p.TryStart(); err == nil {
		t.Error("the provider started with another log")
	}
	if err := os.WriteFile(store, newest, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Start()
	other.Must("attest", p.Addr(), "--policy", pol)
	pub.Must("attest", p.Addr(), "--policy", pol)
	pub.Fails(13, []string{"has only grown"}, "transparency", "export", p.Addr(), "-o", w.Path("proof.json"))
}
