package keyfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"apocryph/attest/device/keyfile"
	"apocryph/proto/status"
)

// state is a device whose blobs name the state that they open in.
type state string

func (s state) open(r keyfile.Ring) ([]byte, error) {
	return r.Open(func() ([]byte, []byte, error) {
		key, err := random()
		return append([]byte(s+":"), key...), key, err
	}, func(blob []byte) ([]byte, error) {
		if rest, ok := bytes.CutPrefix(blob, []byte(s+":")); ok {
			return rest, nil
		}
		return nil, keyfile.ErrOther
	})
}

func TestRing(t *testing.T) {
	r := keyfile.Ring{Dir: t.TempDir(), Name: "datakey"}
	keys := map[state][]byte{}
	for _, s := range []state{"one", "two", "one", "three", "two", "one"} {
		key, err := s.open(r)
		if err != nil {
			t.Fatal(err)
		}
		if have := keys[s]; have != nil && !bytes.Equal(have, key) {
			t.Errorf("state %s has another key when it comes back", s)
		}
		for other, have := range keys {
			if other != s && bytes.Equal(have, key) {
				t.Errorf("states %s and %s share a key", s, other)
			}
		}
		keys[s] = key
	}
	for _, name := range []string{"datakey", "datakey.2", "datakey.3"} {
		if info, err := os.Stat(filepath.Join(r.Dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v", name, info, err)
		}
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "datakey.4")); err == nil {
		t.Error("a fourth key for three states")
	}
}

func TestRingRefuses(t *testing.T) {
	r := keyfile.Ring{Dir: t.TempDir(), Name: "k"}
	if _, err := state("one").open(r); err != nil {
		t.Fatal(err)
	}
	// A device that does not answer has no other state.
	silent := errors.New("silent")
	never := func() ([]byte, []byte, error) { t.Error("made a key"); return nil, nil, nil }
	if _, err := r.Open(never, func([]byte) ([]byte, error) { return nil, silent }); !errors.Is(err, silent) {
		t.Errorf("got %v", err)
	}
	fault := errors.New("fault")
	if _, err := r.Open(func() ([]byte, []byte, error) { return nil, nil, fault }, func([]byte) ([]byte, error) { return nil, keyfile.ErrOther }); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	// One that cannot open what it just sealed is broken.
	if key, err := r.Open(func() ([]byte, []byte, error) { return []byte("x"), []byte("y"), nil }, func([]byte) ([]byte, error) { return nil, keyfile.ErrOther }); err == nil {
		t.Errorf("got %q", key)
	}
	for i := range 40 {
		if _, err := state([]byte{'a', byte('0' + i)}).open(r); err != nil {
			if status.ReasonOf(err) != "keyfile.ring" || i < 20 {
				t.Errorf("state %d: got %v", i, err)
			}
			return
		}
	}
	t.Error("got a key for each of 40 states")
}
