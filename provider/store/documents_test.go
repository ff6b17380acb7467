package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func wantDocuments(t *testing.T, c Documents, want map[string][]byte) {
	t.Helper()
	got, err := c.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

func TestDocuments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	db := open(t, path, testKey(1))
	apps, tokens := db.Documents("app"), db.Documents("token")
	for _, put := range []struct {
		c    Documents
		name string
		text string
	}{{apps, "a", canary + " old"}, {apps, "b", ""}, {tokens, "a", canary}, {apps, "a", canary + " new"}} {
		if err := put.c.Put(t.Context(), put.name, []byte(put.text)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][]byte{"a": []byte(canary + " new"), "b": {}}
	wantDocuments(t, apps, want)
	for name, text := range map[string]string{"a": canary + " new", "b": "", "c": ""} {
		if got, err := apps.Get(t.Context(), name); err != nil || string(got) != text || (got == nil) != (name == "c") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	wantReason(t, apps.Put(t.Context(), "big", make([]byte, maxCellBytes+1)), status.ResourceExhausted, "store.record_size")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(raw), canary) {
		t.Errorf("a document stands in the clear: %v", err)
	}
	db = open(t, path, testKey(2))
	wantDocuments(t, db.Documents("app"), map[string][]byte{})
	if got, err := db.Documents("app").Get(t.Context(), "a"); err != nil || got != nil {
		t.Errorf("with another key: got %q, %v", got, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, testKey(1))
	apps = db.Documents("app")
	wantDocuments(t, apps, want)
	for range 2 {
		if err := apps.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	wantDocuments(t, apps, map[string][]byte{"b": {}})
	wantDocuments(t, db.Documents("token"), map[string][]byte{"a": []byte(canary)})
}

func TestDocumentsAreTied(t *testing.T) {
	for name, change := range map[string]string{
		"another name": "UPDATE documents SET name = 'c' WHERE name = 'a'",
		"another kind": "UPDATE documents SET kind = 'app' WHERE kind = 'token'",
		"another row":  "UPDATE documents SET sealed = (SELECT sealed FROM documents WHERE name = 'b') WHERE name = 'a'",
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
			for _, put := range [][2]string{{"app", "a"}, {"app", "b"}, {"token", "t"}} {
				if err := db.Documents(put[0]).Put(t.Context(), put[1], []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.transact(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), change)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			_, err := db.Documents("app").All(t.Context())
			wantReason(t, err, status.Untrusted, "store.tampered")
		})
	}
}
