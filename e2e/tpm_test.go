package e2e

import (
	"strings"
	"testing"

	"apocryph/attest/attesttest"
	"apocryph/e2e/harness"
)

// TestTPM is the main job on a machine with a TPM 2.0: a policy that pins it,
// the warning that it is no TEE, and pods that come back by themselves because
// the data key opens in the same measured state, and in no other.
func TestTPM(t *testing.T) {
	w := harness.New(t)
	chip := attesttest.SWTPM(t)
	other := attesttest.SWTPM(t)
	p := w.Provider("provider", "--tee", "tpm2", "--tpm", "unix:"+chip.Socket)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", app("vault", w.Image(0, 1)))
	pub.Fails(12, nil, "deploy", file, "--provider", p.Addr())
	r := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol)
	if !strings.Contains(r.Stderr, "not a TEE") {
		t.Errorf("nobody said that a TPM is no TEE:\n%s", r.Stderr)
	}
	address := r.Last()
	answers(t, p, address, "hello from vault")
	p.Kill()
	p.Start()
	answers(t, p, address, "hello from vault")
	// The keys were activated for the deploy; another publisher asks for itself.
	explain := func(pub *harness.Publisher) string {
		return pub.Must("attest", p.Addr(), "--policy", pol, "--json").Stdout
	}
	const before = "the secret came back to this verifier before"
	if got := explain(pub); !strings.Contains(got, before) {
		t.Errorf("the activation is not remembered:\n%s", got)
	}
	stranger := w.Publisher("stranger")
	if got := explain(stranger); strings.Contains(got, before) || !strings.Contains(got, "the secret came back") {
		t.Errorf("who never asked is told:\n%s", got)
	}

	twin := w.Provider("twin", "--tee", "tpm2", "--tpm", "unix:"+other.Socket)
	pub.Fails(12, []string{"ATT-"}, "attest", twin.Addr(), "--policy", pol)

	// Another boot loader: what was sealed stays closed, and who looks is told.
	p.Stop()
	chip.Restart(t)
	chip.Extend(t, 4, [32]byte{1})
	p.Start()
	if !strings.Contains(p.Log(), "sealed in another measured state") {
		t.Errorf("nobody says that pods cannot be opened:\n%s", p.Log())
	}
	pub.Fails(12, []string{"ATT-094"}, "attest", p.Addr(), "--policy", pol)
	// What runs goes on: only the TPM was reset here, not the machine.
	answers(t, p, address, "hello from vault")

	// A reset brings the measured state back: the registers are those of the boot.
	p.Stop()
	chip.Restart(t)
	p.Start()
	answers(t, p, address, "hello from vault")
	pub.Must("attest", p.Addr(), "--policy", pol)
}
