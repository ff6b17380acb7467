package providerd

import (
	"crypto/sha256"
	"log/slog"
	"testing"
	"time"

	"apocryph/attest/attesttest"
	"apocryph/provider"
)

// TestMeasuredStates boots other software over a TPM: the provider starts, pods
// that were sealed before are locked, and open again in the state before.
func TestMeasuredStates(t *testing.T) {
	m := attesttest.SWTPM(t)
	s := settings{Config: Config{TEE: "tpm2", TPM: m.Path, DataDir: t.TempDir(), Now: time.Now}}
	save := func(name string) func(provider.Store) {
		return func(db provider.Store) {
			id := provider.PodIDOf("publisher", name)
			if err := db.Save(t.Context(), provider.Record{ID: id, Publisher: "publisher", Name: name, Revision: 1, State: provider.StateRunning, Manifest: []byte(name)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// start opens everything as a provider does and says which pods are locked.
	start := func(then func(provider.Store)) map[string]bool {
		t.Helper()
		d, err := openDevice(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := d.close(); err != nil {
				t.Error(err)
			}
		}()
		opened, err := openStore(t.Context(), s, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := opened.db.Close(); err != nil {
				t.Error(err)
			}
		}()
		// The pod log of another state is no obstacle.
		node := &Node{set: s, log: slog.New(slog.DiscardHandler)}
		epoch, err := bootEpoch(t.Context(), d.Device)
		if err != nil {
			t.Fatal(err)
		}
		pods, err := node.openLog(t.Context(), d.Device, epoch, opened.logKey)
		if err != nil {
			t.Fatal(err)
		}
		if err := pods.Close(); err != nil {
			t.Fatal(err)
		}
		if then != nil {
			then(opened.db)
		}
		records, err := opened.db.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		locked := map[string]bool{}
		for _, r := range records {
			if locked[r.Name] = r.Locked; r.Locked != (string(r.Manifest) != r.Name) {
				t.Errorf("%s: locked is %v, manifest %q", r.Name, r.Locked, r.Manifest)
			}
		}
		return locked
	}
	want := func(got map[string]bool, one, two bool) {
		t.Helper()
		if got["one"] != one || got["two"] != two || len(got) > 2 {
			t.Errorf("locked: %v, want one %v, two %v", got, one, two)
		}
	}
	want(start(save("one")), false, false)
	want(start(nil), false, false)
	other := sha256.Sum256([]byte("another loader"))
	m.Restart(t)
	m.Extend(t, 4, other)
	want(start(nil), true, false)
	want(start(save("two")), true, false)
	m.Restart(t)
	want(start(nil), false, true)
	m.Restart(t)
	m.Extend(t, 4, other)
	want(start(nil), true, false)
	// A TPM that is gone is no other state.
	s.TPM = "unix:/nonexistent"
	if d, err := openDevice(t.Context(), s); err == nil {
		t.Errorf("got %v", d)
	}
}
