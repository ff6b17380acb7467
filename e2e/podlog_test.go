package e2e

import (
	"fmt"
	"strings"
	"testing"

	"apocryph/attest/attesttest"
	"apocryph/e2e/harness"
)

// TestPodLog is a pod on a machine with a TPM whose register shows it: through
// kills of the provider, an update and a boot, and not when anybody else extends
// the register.
func TestPodLog(t *testing.T) {
	w := harness.New(t)
	chip := attesttest.SWTPM(t)
	p := w.Provider("provider", "--tee", "tpm2", "--tpm", "unix:"+chip.Socket)
	pub, other := w.Publisher("publisher"), w.Publisher("other")
	pol := pub.Policy(p)
	shop := w.Write("shop.yaml", app("shop", w.Image(0, 1)))
	deploy := func(pub *harness.Publisher, file string) {
		pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol)
	}
	deploy(pub, shop)
	affirms := func(texts ...string) {
		t.Helper()
		r := pub.Must("attest", "--pod", "shop", "--policy", pol, "--explain")
		for _, text := range append(texts, "AFFIRMED", "pod log register", "pcr14", "ATT-110", "ATT-111", "image-exec", "agent-start") {
			if !strings.Contains(r.Stdout, text) {
				t.Errorf("it lacks %q:\n%s", text, r.Stdout)
			}
		}
	}
	affirms()
	deploy(other, w.Write("secretive.yaml", app("secretive", w.Image(0, 2))))
	affirms("of another publisher")
	if r := pub.Must("attest", "--pod", "shop", "--policy", pol, "--explain", "--json"); strings.Contains(r.Stdout, other.Must("status", "secretive", "--json").Object(t)["pod_id"].(string)) {
		t.Errorf("another publisher's pod is named:\n%s", r.Stdout)
	}

	// In one boot the log goes on, whenever the provider is killed.
	for n := range 2 {
		p.Kill()
		p.Start()
		affirms()
		deploy(pub, w.Write("shop.yaml", app("shop", w.Image(0, 1), fmt.Sprintf("env: {GREETING: \"%d\"}", n))))
		affirms() // also while the old revision ends
		harness.Eventually(t, "the revision before has ended", func() bool {
			return strings.Count(pub.Must("attest", "--pod", "shop", "--policy", pol, "--explain").Stdout, "replaced") > n
		})
		affirms("replaced")
	}
	log := pub.Must("attest", p.Addr(), "--pod", "shop", "--policy", pol, "--json").Object(t)["log"].([]any)
	if len(log) < 3*3+4*4 {
		t.Errorf("only %d events are shown", len(log))
	}

	// A boot begins a new one, in which what runs is measured again.
	p.Stop()
	chip.Restart(t)
	p.Start()
	harness.Eventually(t, "the pod is started and measured again", func() bool {
		return pub.Run("attest", "--pod", "shop", "--policy", pol).Exit == 0
	})
	affirms()
	if now := pub.Must("attest", "--pod", "shop", "--policy", pol, "--json").Object(t)["log"].([]any); len(now) >= len(log) {
		t.Errorf("the new boot's log has %d events, the old one had %d", len(now), len(log))
	}

	// Somebody else extends the register: who looks is told, and the provider
	// does not go on with a log that nobody would believe.
	chip.Extend(t, 14, [32]byte{1})
	pub.Fails(12, []string{"ATT-100"}, "attest", "--pod", "shop", "--policy", pol)
	pub.Must("attest", p.Addr(), "--policy", pol)
	p.Kill()
	if err := p.TryStart(); err == nil {
		t.Error("the provider goes on with a register that it cannot explain")
	}
	if !strings.Contains(p.Log(), "pod log of this boot cannot be continued") || !strings.Contains(p.Log(), "boot the machine") {
		t.Errorf("the refusal does not say why:\n%s", p.Log())
	}
	chip.Restart(t)
	p.Start()
}
