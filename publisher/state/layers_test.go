package state

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"apocryph/proto/status"
)

func layerKey(s string) string { return hashName(s) }

func TestLayers(t *testing.T) {
	l := newState(t).Layers()
	if got, err := l.Get(layerKey("a")); got != nil || err != nil {
		t.Errorf("unknown: %q, %v", got, err)
	}
	must(t, l.Put(layerKey("a"), []byte("secret-canary")))
	must(t, l.Put(layerKey("b"), []byte("b1")))
	must(t, l.Put(layerKey("b"), []byte("b2")))
	again, err := Open(l.s.dir)
	must(t, err)
	for key, want := range map[string]string{"a": "secret-canary", "b": "b2"} {
		if got, err := again.Layers().Get(layerKey(key)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", key, got, err)
		}
	}
	data, err := os.ReadFile(l.path(layerKey("a")))
	must(t, err)
	if bytes.Contains(data, []byte("canary")) {
		t.Error("the secret is on disk")
	}
	for _, key := range []string{"", "../../x", "ABCDEF0123456789", "abc"} {
		_, err := l.Get(key)
		refused(t, err, status.InvalidArgument)
		refused(t, l.Put(key, nil), status.InvalidArgument)
	}
}

func TestSweep(t *testing.T) {
	l := newState(t).Layers()
	a, b, damaged, newer := layerKey("a"), layerKey("b"), layerKey("damaged"), layerKey("newer")
	must(t, l.Put(a, []byte("a")))
	must(t, l.Put(b, []byte("b")))
	must(t, os.WriteFile(l.path(damaged), []byte("{"), 0o600))
	must(t, os.WriteFile(l.path(newer), []byte(`{"version":9}`), 0o600))
	must(t, os.WriteFile(filepath.Join(l.s.dir, "layers", "notes.txt"), nil, 0o600))
	var seen []string
	must(t, l.Sweep(func(key string, value []byte) bool {
		seen = append(seen, string(value))
		return key != b
	}))
	slices.Sort(seen)
	if !slices.Equal(seen, []string{"a", "b"}) {
		t.Errorf("seen %v", seen)
	}
	for path, want := range map[string]bool{l.path(a): true, l.path(b): false, l.path(damaged): false, l.path(newer): true, filepath.Join(l.s.dir, "layers", "notes.txt"): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Without the key nothing is known to be worthless.
	must(t, os.Remove(l.s.box.path))
	must(t, l.Sweep(func(string, []byte) bool { return false }))
	if _, err := os.Stat(l.path(a)); err != nil {
		t.Error("an entry was removed because its key file is away")
	}
}

// TestMovedEntry puts the value of one layer under the name of another.
func TestMovedEntry(t *testing.T) {
	l := newState(t).Layers()
	must(t, l.Put(layerKey("a"), []byte("a")))
	must(t, os.Rename(l.path(layerKey("a")), l.path(layerKey("b"))))
	_, err := l.Get(layerKey("b"))
	refused(t, err, status.InvalidArgument, "does not open")
}

func TestGuard(t *testing.T) {
	l := newState(t).Layers()
	one, err := l.Share(t.Context())
	must(t, err)
	two, err := l.Share(t.Context())
	must(t, err)
	one()
	if _, ok, err := l.Exclusive(); ok || err != nil {
		t.Errorf("exclusive beside a share: %v, %v", ok, err)
	}
	two()
	release, ok, err := l.Exclusive()
	if !ok || err != nil {
		t.Fatalf("not exclusive: %v", err)
	}
	done := make(chan error)
	go func() {
		shared, err := l.Share(t.Context())
		if err == nil {
			shared()
		}
		done <- err
	}()
	release()
	must(t, <-done)
}
