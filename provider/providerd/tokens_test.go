package providerd

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"apocryph/provider/auth"
	"apocryph/provider/store"
)

// TestTokensMirror has the mirror answer what the store has, through every change
// and through writes that fail.
func TestTokensMirror(t *testing.T) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"), bytes.Repeat([]byte{1}, store.KeySize), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	kept := &tokens{docs: db.Documents("token")}
	one, two := auth.Token{ID: "one", Hash: [32]byte{1}}, auth.Token{ID: "two", Hash: [32]byte{2}}
	// holds asks the mirror, and a second one that has to read the store.
	holds := func(when string, want map[[32]byte]string) {
		t.Helper()
		for _, k := range []*tokens{kept, {docs: kept.docs}} {
			all, err := k.Tokens(t.Context())
			if err != nil || len(all) != len(want) {
				t.Errorf("%s: got %d tokens and %v, want %d", when, len(all), err, len(want))
			}
			for _, hash := range [][32]byte{{1}, {2}, {3}} {
				v, ok, err := k.TokenByHash(t.Context(), hash)
				if err != nil || ok != (want[hash] != "") || v.Name != want[hash] && want[hash] != "unnamed" {
					t.Errorf("%s: hash %d: got %q, %v and %v, want %q", when, hash[0], v.Name, ok, err, want[hash])
				}
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	holds("at first", nil)
	must(kept.SaveToken(t.Context(), one))
	must(kept.SaveToken(t.Context(), two))
	holds("after two", map[[32]byte]string{{1}: "unnamed", {2}: "unnamed"})
	one.Name, one.Hash = "named", [32]byte{3}
	must(kept.SaveToken(t.Context(), one))
	holds("after a change", map[[32]byte]string{{2}: "unnamed", {3}: "named"})
	must(kept.DeleteToken(t.Context(), "two"))
	must(kept.DeleteToken(t.Context(), "three"))
	holds("after a revocation", map[[32]byte]string{{3}: "named"})

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := kept.SaveToken(gone, two); err == nil {
		t.Error("a write was not cancelled")
	}
	if err := kept.DeleteToken(gone, "one"); err == nil {
		t.Error("a removal was not cancelled")
	}
	if _, _, err := kept.TokenByHash(gone, [32]byte{3}); err == nil {
		t.Error("what the store has is not known, and yet there was an answer")
	}
	holds("after failed writes", map[[32]byte]string{{3}: "named"})
}
