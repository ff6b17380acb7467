package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"apocryph/e2e/harness"
)

// TestProviderKilledAtEveryState kills the provider as soon as its log says
// that a pod reached a state, and starts it again. Once the pod was accepted it
// comes up by itself, or with the publisher's next try where bytes were missing.
func TestProviderKilledAtEveryState(t *testing.T) {
	for _, state := range []string{"accepted", "fetching", "starting", "running", "deleting"} {
		t.Run(state, func(t *testing.T) {
			w := harness.New(t)
			p := w.Provider("provider")
			pub := w.Publisher("publisher")
			pol := pub.Policy(p)
			file := w.Write("app.yaml", app("phoenix", w.Image(96<<20, 7), "env: {DELAY: 1s}", "health: {http: /}"))
			args := []string{"deploy", file, "--provider", p.Addr(), "--policy", pol}
			if state == "deleting" {
				pub.Must(args...)
				args = []string{"delete", "phoenix"}
			}
			cmd := pub.Cmd(args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			mark := "to=" + state
			harness.Eventually(t, mark, func() bool { return strings.Contains(p.Log(), mark) })
			p.Kill()
			err := cmd.Wait()
			if state != "running" && state != "deleting" && err == nil {
				t.Error("the deploy says that it succeeded")
			}
			p.Start()
			if state == "deleting" {
				harness.Eventually(t, "the pod is gone", func() bool { return len(harness.Pods(t, p)) == 0 })
				return
			}
			// The user's next step after the refusal that named the provider.
			address := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol).Last()
			answers(t, p, address, "hello from phoenix")
		})
	}
}

// TestPublisherGoneAfterAccept: the pod goes on when its publisher vanishes as
// soon as all bytes are there.
func TestPublisherGoneAfterAccept(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", app("orphan", w.Image(0, 1), "env: {DELAY: 2s}", "health: {http: /}"))
	cmd := pub.Cmd("deploy", file, "--provider", p.Addr(), "--policy", pol)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the pod starts", func() bool { return strings.Contains(p.Log(), "to=starting") })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	harness.Eventually(t, "the pod runs", func() bool {
		pods := harness.Pods(t, p)
		return len(pods) == 1 && pods[0]["state"] == "running"
	})
	// The publisher knows from its state that something was sent.
	st := pub.Must("status", "orphan", "--provider", p.Addr(), "--json").Object(t)
	if st["state"] != "running" {
		t.Errorf("status: %v", st)
	}
	pub.Must("delete", "orphan", "--provider", p.Addr())
}

// TestPublisherInterrupted while it encrypts and while the provider fetches.
func TestPublisherInterrupted(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", app("patient", w.Image(96<<20, 8)))
	cmd := pub.Cmd("deploy", file, "--provider", p.Addr(), "--policy", pol)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sealing := filepath.Join(pub.Home, "content", "sealing")
	harness.Eventually(t, "encryption begins", func() bool {
		e, err := os.ReadDir(sealing)
		return err == nil && len(e) > 0
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("an interrupted deploy ends with %d, want 130", code)
	}
	if pods := harness.Pods(t, p); len(pods) != 0 {
		t.Errorf("the provider has %v", pods)
	}
	address := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol).Last()
	answers(t, p, address, "hello from patient")
}

// TestDiskFull: an image that does not fit is refused with the reason, what
// runs goes on, and a smaller image still fits.
func TestDiskFull(t *testing.T) {
	w := harness.New(t)
	dir := w.Path("small")
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=96m,mode=0711"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	p := w.Provider("small", "--storage-size", "48Mi")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	small := w.Write("small.yaml", app("small", w.Image(0, 1)))
	address := pub.Must("deploy", small, "--provider", p.Addr(), "--policy", pol).Last()
	big := w.Write("big.yaml", app("big", w.Image(96<<20, 7)))
	pub.Fails(15, []string{"space"}, "deploy", big, "--provider", p.Addr(), "--policy", pol)
	answers(t, p, address, "hello from small")
	other := w.Write("other.yaml", app("other", w.Image(0, 1)))
	answers(t, p, pub.Must("deploy", other, "--provider", p.Addr(), "--policy", pol).Last(), "hello from other")
}
