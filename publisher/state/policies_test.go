package state

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/publisher"
)

func TestPolicies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	scope := publisher.AppScope("shop")
	if u, err := s.UsedPolicy(t.Context(), scope); err != nil || u.Version != 0 || u.Key != nil {
		t.Fatalf("got %+v, %v", u, err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	want := publisher.UsedPolicy{Version: 7, File: []byte("version: 7\n"), Key: key, Used: time.Now().UTC().Truncate(time.Second)}
	if err := s.UsePolicy(t.Context(), scope, want); err != nil {
		t.Fatal(err)
	}
	// Another process reads the same, and other scopes know nothing of it.
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.UsedPolicy(t.Context(), scope)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	if u, err := again.UsedPolicy(t.Context(), publisher.NameScope("shop")); err != nil || u.Version != 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	older := want
	older.Version = 6
	if err := again.UsePolicy(t.Context(), scope, older); status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != "policy.rollback" {
		t.Errorf("got %v", err)
	}
	same := want
	same.File = []byte("version: 7 # edited\n")
	if err := again.UsePolicy(t.Context(), scope, same); err != nil {
		t.Error(err)
	}
	// What is damaged is not taken for nothing.
	for _, text := range []string{"{", `{"version":1,"scope":"app.other","policy_version":7}`, `{"version":1,"scope":"app.shop","policy_version":0}`, `{"version":1,"scope":"app.shop","policy_version":7,"key":"00"}`} {
		if err := os.WriteFile(s.policyPath(scope), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.UsedPolicy(t.Context(), scope); status.ReasonOf(err) != "state.corrupt" {
			t.Errorf("%s: got %v", text, err)
		}
		if err := s.UsePolicy(t.Context(), scope, want); status.ReasonOf(err) != "state.corrupt" {
			t.Errorf("%s: got %v", text, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "policies"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info, err)
	}
}
