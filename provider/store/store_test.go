package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		runChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// canary marks every secret of a record.
const canary = "CANARY-5f1d"

func testKey(b byte) []byte { return bytes.Repeat([]byte{b}, KeySize) }

func testRecord(i int, revision uint64) provider.Record {
	id := fmt.Sprintf("pod%d", i)
	return provider.Record{
		ID: provider.PodID(id), Publisher: "12D3KooWpublisher", Name: fmt.Sprintf("app-%d", i),
		Revision: revision, State: provider.StateRunning, Reason: "all health checks pass",
		RequestID: [16]byte{1, 2, byte(revision)}, ManifestDigest: sha256.Sum256([]byte(id)),
		Manifest: []byte(canary + " manifest"),
		Keys:     map[string][]byte{"k1": []byte(canary + " key")},
		Secrets:  map[string]map[string][]byte{"tls": {"key.pem": []byte(canary + " file"), "empty": {}}},
		Confirm:  []byte(canary + " confirm"),
		Endpoints: []provider.Endpoint{
			{Container: "web", Target: 80, Port: 8081, Protocol: manifest.HTTP, Host: "a.localhost", URL: "http://a.localhost:8081/", Dial: "10.0.0.1:8081"},
			{Container: "db", Target: 6379, Port: 30001, Protocol: manifest.TCP, URL: "tcp://10.0.0.1:30001", Dial: "10.0.0.1:30001", HostIP: "10.0.0.1"},
		},
		OfferID: "offer", PaymentScheme: "none", PolicyVersion: i,
		Obsolete: []provider.InstanceID{provider.InstanceID(id + "-1-0")},
		Created:  time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC), Updated: time.Date(2025, 2, 2, 3, 4, 5, 7, time.UTC),
	}
}

func open(t *testing.T, path string, key []byte) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustSave(t *testing.T, db *DB, records ...provider.Record) {
	t.Helper()
	for _, r := range records {
		if err := db.Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func wantRecords(t *testing.T, db *DB, want ...provider.Record) {
	t.Helper()
	got, err := db.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func wantReason(t *testing.T, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v %q (%v), want %v %q", status.CodeOf(err), status.ReasonOf(err), err, code, reason)
	}
}

func TestSaveLoadDelete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name ?%41&.db")
	db := open(t, path, testKey(1))
	wantRecords(t, db)
	a, b := testRecord(1, 1), testRecord(2, 1)
	bare := provider.Record{ID: "bare", Publisher: "p", Name: "bare", Revision: 1 << 63}
	mustSave(t, db, a, b, bare)
	wantRecords(t, db, a, b, bare)

	a.Revision, a.State, a.Endpoints, a.Obsolete = 2, provider.StateFailed, a.Endpoints[:1], nil
	mustSave(t, db, a)
	wantRecords(t, db, a, b, bare)

	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, testKey(1))
	wantRecords(t, db, a, b, bare)
	for _, id := range []provider.PodID{a.ID, "bare", "unknown"} {
		if err := db.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	wantRecords(t, db, b)
	var children int
	if err := db.sql.QueryRow("SELECT (SELECT count(*) FROM endpoints) + (SELECT count(*) FROM obsolete)").Scan(&children); err != nil || children != 3 {
		t.Errorf("children left = %d, %v, want 3 (of the remaining pod)", children, err)
	}
}

func TestRowsAreNeverReused(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
	var ids []int64
	for i := range 2 {
		mustSave(t, db, testRecord(i, 1))
		var id int64
		if err := db.sql.QueryRow("SELECT id FROM pods").Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if err := db.Delete(t.Context(), testRecord(i, 1).ID); err != nil {
			t.Fatal(err)
		}
	}
	if ids[0] == ids[1] {
		t.Errorf("row %d was used for two pods", ids[0])
	}
}

func TestSaveRefuses(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
	a := testRecord(1, 1)
	mustSave(t, db, a)

	same := testRecord(2, 1)
	same.Name = a.Name
	wantReason(t, db.Save(t.Context(), same), status.Conflict, "store.name")

	big := testRecord(3, 1)
	big.Manifest = make([]byte, maxCellBytes+1)
	wantReason(t, db.Save(t.Context(), big), status.ResourceExhausted, "store.record_size")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Save(ctx, testRecord(4, 1)); status.CodeOf(err) != status.Canceled {
		t.Errorf("canceled save: %v", err)
	}
	wantRecords(t, db, a)
}

func TestFileModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	db := open(t, path, testKey(1))
	mustSave(t, db, testRecord(1, 1))
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("files %v, want the database, its log and the reserve only", files)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f, info.Mode())
		}
	}
}

func TestPragmas(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "2000", "locking_mode": "exclusive", "user_version": "6",
	} {
		var got string
		if err := db.sql.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", pragma, got, err, want)
		}
	}
}

// No plaintext of a secret column is in any file of the store, at any time.
func TestCanary(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "s.db"), testKey(1))
	scan := func(want bool, text string) {
		t.Helper()
		found := false
		files, err := os.ReadDir(dir)
		if err != nil || len(files) == 0 {
			t.Fatalf("files %v, %v", files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found = found || bytes.Contains(b, []byte(text))
		}
		if found != want {
			t.Errorf("%q found = %v, want %v", text, found, want)
		}
	}
	for i := range 20 {
		mustSave(t, db, testRecord(i%3, uint64(i)))
	}
	scan(false, canary)
	scan(true, "all health checks pass") // the scan does see the other columns
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	scan(false, canary)
	// JSON writes bytes as base64; look for that too.
	scan(false, "Q0FOQVJZLTVmMW")
	scan(true, "all health checks pass")
}

func TestOpenRefuses(t *testing.T) {
	whole := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "s.db")
		db := open(t, path, testKey(1))
		mustSave(t, db, testRecord(1, 1))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	exec := func(t *testing.T, path, query string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, path string)
		key    []byte
		code   status.Code
		reason string
	}{
		{"short key", nil, testKey(1)[:31], status.InvalidArgument, "store.key"},
		{"no key", nil, nil, status.InvalidArgument, "store.key"},
		{"newer version", func(t *testing.T, path string) { exec(t, path, "PRAGMA user_version = 99") }, testKey(1), status.InvalidArgument, "store.newer"},
		{"no check value", func(t *testing.T, path string) { exec(t, path, "DELETE FROM meta") }, testKey(1), status.Internal, "store.corrupt"},
		{"no database", func(t *testing.T, path string) { overwrite(t, path, 0, strings.Repeat("junk", 2000)) }, testKey(1), status.Internal, "store.corrupt"},
		{"cut short", func(t *testing.T, path string) {
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		}, testKey(1), status.Internal, "store.corrupt"},
		{"damaged page", func(t *testing.T, path string) { overwrite(t, path, 4096, strings.Repeat("\xff", 4096)) }, testKey(1), status.Internal, "store.corrupt"},
		{"another program's", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			exec(t, path, "CREATE TABLE bookmarks (url TEXT)")
		}, testKey(1), status.InvalidArgument, "store.foreign"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := whole(t)
			if tc.damage != nil {
				tc.damage(t, path)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), path, tc.key, nil)
			if err == nil {
				_ = db.Close()
			}
			wantReason(t, err, tc.code, tc.reason)
			if tc.reason != "store.key" && !strings.Contains(status.Public(err).Detail+err.Error(), path) {
				t.Errorf("error does not name the file: %v", err)
			}
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("a refused file was changed")
			}
		})
	}
}

func overwrite(t *testing.T, path string, offset int64, data string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(data), offset); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesDirectory(t *testing.T) {
	if db, err := Open(t.Context(), t.TempDir(), testKey(1), nil); err == nil {
		_ = db.Close()
		t.Error("a directory was opened")
	}
}

// The disk's owner may write what he likes: it is found, and by its row.
func TestTampering(t *testing.T) {
	for _, change := range []string{
		"UPDATE pods SET publisher = 'mallory' WHERE id = 1",
		"UPDATE pods SET name = 'other' WHERE id = 1",
		"UPDATE pods SET pod = 'other' WHERE id = 1",
		"UPDATE pods SET revision = revision + 1 WHERE id = 1",
		"UPDATE pods SET state = 'deleting' WHERE id = 1",
		"UPDATE pods SET reason = '' WHERE id = 1",
		"UPDATE pods SET request_id = zeroblob(16) WHERE id = 1",
		"UPDATE pods SET request_id = x'01' WHERE id = 1",
		"UPDATE pods SET manifest_digest = zeroblob(32) WHERE id = 1",
		"UPDATE pods SET manifest_digest = x'' WHERE id = 1",
		"UPDATE pods SET manifest = (SELECT manifest FROM pods WHERE id = 2) WHERE id = 1",
		"UPDATE pods SET manifest = confirm WHERE id = 1",
		"UPDATE pods SET keys = secrets, secrets = keys WHERE id = 1",
		"UPDATE pods SET confirm = x'' WHERE id = 1",
		"UPDATE pods SET offer_id = '' WHERE id = 1",
		"UPDATE pods SET payment_scheme = 'free' WHERE id = 1",
		"UPDATE pods SET policy_version = 0 WHERE id = 1",
		"UPDATE pods SET policy_version = policy_version + 1 WHERE id = 1",
		"UPDATE pods SET created_ns = 1 WHERE id = 1",
		"UPDATE pods SET updated_ns = 1 WHERE id = 1",
		"UPDATE pods SET tag = (SELECT tag FROM pods WHERE id = 2) WHERE id = 1",
		"UPDATE pods SET tag = x'' WHERE id = 1",
		"UPDATE endpoints SET host = 'evil.localhost' WHERE pod = 1 AND position = 0",
		"UPDATE endpoints SET host_ip = '' WHERE pod = 1 AND position = 1",
		"DELETE FROM endpoints WHERE pod = 1 AND position = 1",
		"INSERT INTO obsolete VALUES (1, 9, 'pod2-1-0')",
		"PRAGMA foreign_keys = OFF; UPDATE pods SET id = 7 WHERE id = 1; UPDATE endpoints SET pod = 7 WHERE pod = 1; UPDATE obsolete SET pod = 7 WHERE pod = 1",
	} {
		t.Run(change, func(t *testing.T) {
			db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
			mustSave(t, db, testRecord(1, 1), testRecord(2, 1))
			if _, err := db.sql.Exec(change); err != nil {
				t.Fatal(err)
			}
			records, err := db.Load(t.Context())
			wantReason(t, err, status.Untrusted, "store.tampered")
			if records != nil {
				t.Error("records came with the error")
			}
		})
	}
}

func TestMigrationsAreNumbered(t *testing.T) {
	names, err := migrationFS.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(n.Name(), want) {
			t.Errorf("migration %q, want a name that starts with %s", n.Name(), want)
		}
	}
}
