package mesh

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/attest/device/soft"
	"apocryph/proto/status"
)

// patience bounds every wait of a test: the longest is for a provider that asks
// the whole network for content that nobody has, half a minute.
const patience = 2 * time.Minute

// The machines that providers run on. Making the keys of a software device
// takes long, so that all providers but one of a test share a machine; they are
// told apart by their peer ids, as several providers on one host are.
var machines struct {
	// program is what the devices measure.
	program string
	// trusted and foreign are the directories of two devices.
	trusted, foreign string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mesh")
	if err != nil {
		panic(err)
	}
	machines.program = filepath.Join(dir, "program")
	if err := os.WriteFile(machines.program, []byte("the provider"), 0o600); err != nil {
		panic(err)
	}
	for name, machine := range map[string]*string{"trusted": &machines.trusted, "foreign": &machines.foreign} {
		*machine = filepath.Join(dir, name)
		if err := os.Mkdir(*machine, 0o700); err != nil {
			panic(err)
		}
		if _, err := soft.Open(*machine, machines.program, time.Now); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// copyMachine puts a machine's device into a directory.
func copyMachine(t *testing.T, machine, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	entries, err := os.ReadDir(machine)
	must(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(machine, e.Name()))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, e.Name()), b, 0o600))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test unless err has a code and a reason.
func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v (%v %q), want %v %q", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

// eventually polls until ok, for what nobody reports.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// happens waits for an event of another goroutine.
func happens(t testing.TB, what string, event <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-event:
	case <-ctx.Done():
		t.Fatalf("waited in vain: %s", what)
	}
}

// shortDir is a directory whose path leaves room for the name of a socket,
// which t.TempDir does not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}
