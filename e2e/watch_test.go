package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"apocryph/attest/attesttest"
	"apocryph/e2e/harness"
)

// rewrite puts a changed policy in place of the file, at once.
func rewrite(t *testing.T, path string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := change(string(b))
	if text == string(b) {
		t.Fatalf("nothing changed in\n%s", b)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestWatchReboot: who watches an app is told that the machine behind it was
// reset, goes on where it is the same machine, and ends with the refusal where
// other software booted.
func TestWatchReboot(t *testing.T) {
	w := harness.New(t)
	chip := attesttest.SWTPM(t)
	p := w.Provider("provider", "--tee", "tpm2", "--tpm", "unix:"+chip.Socket)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	pub.Must("deploy", w.Write("app.yaml", app("seen", w.Image(0, 1))), "--provider", p.Addr(), "--policy", pol)

	watch := pub.Stream("status", "seen", "--watch", "--interval", "1s", "--json")
	text := pub.Stream("status", "seen", "--watch", "--interval", "1s")
	watch.Until(`"event":"status"`)
	text.Until("affirmed: tpm2-measured-boot")
	p.Stop()
	watch.Until(`"event":"change"`, `"what":"reachable"`, "unreachable since")
	chip.Restart(t)
	p.Start()
	watch.Until(`"what":"boot_epoch"`)
	watch.Until(`"what":"tpm_counters"`, `"was":"reset `, `"now":"reset `)
	watch.Until(`"what":"reachable"`, `"now":"reachable"`)
	text.Until("the machine rebooted: boot epoch ")
	// It is verified still.
	watch.Until(`"event":"verdict"`, `"affirmed":true`)

	// Another boot loader.
	p.Stop()
	chip.Restart(t)
	chip.Extend(t, 4, [32]byte{1})
	p.Start()
	lines := watch.Ends(12, "ATT-094")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"event":"result"`) || !strings.Contains(last, `"exit":12`) {
		t.Errorf("the result is %s", last)
	}
	if all := strings.Join(lines, "\n"); !strings.Contains(all, `"what":"verdict","was":"affirmed","now":"denied: ATT-094`) || !strings.Contains(all, `"what":"measurement"`) {
		t.Errorf("nobody said what changed:\n%s", all)
	}
	text.Ends(12, "ATT-094")
}

// TestWatchPolicy: the policy's file is read anew for each verification. One
// that the provider does not fit ends the watch, and so does one that is older.
func TestWatchPolicy(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := w.Write("policy.yaml", versioned(t, pub.Policy(p), 2))
	pub.Must("deploy", w.Write("app.yaml", app("seen", w.Image(0, 1))), "--provider", p.Addr(), "--policy", pol)
	start := func() *harness.Stream {
		s := pub.Stream("status", "seen", "--watch", "--interval", "1s", "--policy", pol, "--json")
		s.Until(`"event":"status"`)
		return s
	}
	watch := start()
	rewrite(t, pol, func(s string) string { return s + "# reviewed\n" })
	watch.Until(`"what":"policy"`)
	watch.Until(`"event":"verdict"`, `"affirmed":true`)
	rewrite(t, pol, func(s string) string { return strings.Replace(s, "version: 2\n", "version: 1\n", 1) })
	watch.Ends(12, "ATT-161")

	rewrite(t, pol, func(s string) string { return strings.Replace(s, "version: 1\n", "version: 2\n", 1) })
	watch = start()
	measurement := regexp.MustCompile(`"[0-9a-f]{96}"`)
	rewrite(t, pol, func(s string) string {
		return measurement.ReplaceAllString(s, `"`+strings.Repeat("1", 96)+`"`)
	})
	lines := watch.Ends(12, "ATT-071")
	if all := strings.Join(lines, "\n"); !strings.Contains(all, `"what":"policy"`) || !strings.Contains(all, `"what":"verdict","was":"affirmed","now":"denied: ATT-`) {
		t.Errorf("nobody said what changed:\n%s", all)
	}
}

// TestFollowLogs: whoever follows an app's logs is cut off when what the machine
// measured is not what the last deploy's policy accepts, though it never stopped
// answering.
func TestFollowLogs(t *testing.T) {
	w := harness.New(t)
	chip := attesttest.SWTPM(t)
	p := w.Provider("provider", "--tee", "tpm2", "--tpm", "unix:"+chip.Socket)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	rewrite(t, pol, func(s string) string { return strings.Replace(s, "max_age: 10m", "max_age: 5s", 1) })
	address := pub.Must("deploy", w.Write("app.yaml", app("seen", w.Image(0, 1))), "--provider", p.Addr(), "--policy", pol).Last()
	logs := pub.Stream("logs", "-f", "seen", "--json")
	answers(t, p, address, "hello from seen")
	logs.Until(`"event":"line"`, "GET /")
	chip.Extend(t, 4, [32]byte{1})
	logs.Ends(12, "ATT-094")
}
