package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider"
)

func testPast(r provider.Record, revision uint64) provider.Past {
	return provider.Past{
		Pod: r.ID, Revision: revision, ManifestDigest: r.ManifestDigest, Manifest: r.Manifest, Keys: r.Keys, Secrets: r.Secrets,
		Release: &provider.KeyRelease{Number: 7, At: time.UnixMilli(1700000000123).UTC(), Claims: [32]byte{1}, Salt: [32]byte{2}},
		Source:  []byte(`{"type":"upload"}`), From: 1, Replaces: 2, Outcome: provider.OutcomeUp, Reason: "because", Log: []string{canary + " line"},
		At: time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC),
	}
}

func wantPasts(t *testing.T, db *DB, pod provider.PodID, want ...provider.Past) {
	t.Helper()
	got, err := db.Pasts(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	db := open(t, path, testKey(1))
	a, b := testRecord(1, 1), testRecord(2, 1)
	err := db.SavePast(t.Context(), testPast(a, 1))
	wantReason(t, err, status.NotFound, "store.pod")
	mustSave(t, db, a, b)
	one, two, other := testPast(a, 1), testPast(a, 2), testPast(b, 1)
	two.Release, two.Manifest, two.Keys, two.Secrets, two.Outcome = nil, nil, nil, nil, provider.OutcomePending
	for _, r := range []provider.Past{two, one, other} {
		if err := db.SavePast(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	two.Outcome, two.Reason = provider.OutcomeFailed, "it exited"
	if err := db.SavePast(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	// A record that is saved again keeps its revisions.
	mustSave(t, db, a)
	wantPasts(t, db, a.ID, one, two)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), canary) {
		t.Error("a secret of a revision stands in the clear")
	}

	// Another measured state does not see them, and does not lose them.
	db = open(t, path, testKey(2))
	wantPasts(t, db, a.ID)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, testKey(1))
	wantPasts(t, db, a.ID, one, two)
	if err := db.DropPast(t.Context(), a.ID, 1); err != nil {
		t.Fatal(err)
	}
	if err := db.DropPast(t.Context(), "nobody", 1); err != nil {
		t.Fatal(err)
	}
	wantPasts(t, db, a.ID, two)
	wantPasts(t, db, b.ID, other)
	if err := db.Delete(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	wantPasts(t, db, a.ID)
	wantPasts(t, db, b.ID, other)
}

// TestHistoryIsTied puts a revision where another was.
func TestHistoryIsTied(t *testing.T) {
	for name, change := range map[string]string{
		"another revision": "UPDATE revisions SET revision = 3 WHERE revision = 1",
		"another pod":      "UPDATE revisions SET pod = (SELECT id FROM pods WHERE pod = 'pod1') WHERE pod <> (SELECT id FROM pods WHERE pod = 'pod1')",
		"another row":      "UPDATE revisions SET sealed = (SELECT sealed FROM revisions WHERE revision = 2) WHERE revision = 1",
		"a bit":            "UPDATE revisions SET sealed = CAST(x'00' || substr(sealed, 2) AS BLOB) WHERE revision = 1",
		"nothing":          "UPDATE revisions SET sealed = x'' WHERE revision = 1",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			db := open(t, path, testKey(1))
			a, b := testRecord(1, 1), testRecord(2, 1)
			mustSave(t, db, a, b)
			for _, r := range []provider.Past{testPast(a, 1), testPast(a, 2), testPast(b, 9)} {
				if err := db.SavePast(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.transact(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), change)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			_, err := db.Pasts(t.Context(), a.ID)
			wantReason(t, err, status.Untrusted, "store.tampered")
		})
	}
}
