package state

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMachines(t *testing.T) {
	s := newState(t)
	clock := time.Now()
	s.now = func() time.Time { return clock }
	m, ek, ak := s.Machines(), [32]byte{1}, bytes.Repeat([]byte{7}, 34)
	known := func(ek [32]byte, ak []byte, want bool) {
		t.Helper()
		if got := m.Activated(ek, ak); got != want {
			t.Errorf("activated: got %v, want %v", got, want)
		}
	}
	known(ek, ak, false)
	must(t, m.Remember(ek, ak))
	known(ek, ak, true)
	known([32]byte{2}, ak, false)
	known(ek, ak[1:], false)
	known(ek, nil, false)
	info, err := os.Stat(m.path(ek))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}

	// It lasts a day from the first proof, however often it is used.
	clock = clock.Add(23 * time.Hour)
	must(t, m.Remember(ek, ak))
	known(ek, ak, true)
	clock = clock.Add(time.Hour)
	known(ek, ak, false)
	must(t, m.Remember(ek, ak))
	known(ek, ak, true)
	clock = clock.Add(-time.Minute)
	known(ek, ak, false)
	clock = clock.Add(time.Minute)

	// A damaged file is no memory, and is written anew.
	must(t, os.WriteFile(m.path(ek), []byte("{"), 0o600))
	known(ek, ak, false)
	must(t, m.Remember(ek, ak))
	known(ek, ak, true)
	// Another key of the same TPM takes its place.
	other := bytes.Repeat([]byte{8}, 34)
	must(t, m.Remember(ek, other))
	known(ek, ak, false)
	known(ek, other, true)
}

func TestMachinesAreBounded(t *testing.T) {
	s := newState(t)
	m := s.Machines()
	for i := range maxMachines + 10 {
		must(t, os.WriteFile(m.path([32]byte{byte(i), byte(i >> 8)}), []byte("{}"), 0o600))
	}
	must(t, m.Remember([32]byte{1, 1, 1}, []byte("ak")))
	all, err := os.ReadDir(filepath.Join(s.dir, "machines"))
	must(t, err)
	if len(all) != 1 {
		t.Errorf("%d machines are remembered", len(all))
	}
}
