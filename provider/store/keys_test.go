package store

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider"
)

// named is a record whose id is that of its publisher and name, as all have.
func named(i int, revision uint64) provider.Record {
	r := testRecord(i, revision)
	r.ID = provider.PodIDOf(r.Publisher, r.Name)
	return r
}

// without is a record as another key sees it.
func without(r provider.Record) provider.Record {
	r.Locked, r.Manifest, r.Keys, r.Secrets, r.Confirm = true, nil, nil, nil, nil
	return r
}

func reopen(t *testing.T, db *DB, key byte) *DB {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, db.path, testKey(key))
}

// TestKeys goes through two measured states and back.
func TestKeys(t *testing.T) {
	one, two, three := named(1, 1), named(2, 1), named(3, 1)
	db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
	mustSave(t, db, one, two)

	db = reopen(t, db, 2)
	wantRecords(t, db, without(one), without(two))
	if err := db.Save(t.Context(), without(one)); err == nil {
		t.Fatal("a locked record was stored")
	}
	wantRecords(t, db, without(one), without(two))
	// Deployed anew, and new here.
	two.Revision, two.Manifest = 2, []byte("another manifest")
	mustSave(t, db, two, three)
	wantRecords(t, db, without(one), two, three)

	db = reopen(t, db, 1)
	wantRecords(t, db, one, without(two), without(three))
	if err := db.Delete(t.Context(), three.ID); err != nil {
		t.Fatal(err)
	}
	db = reopen(t, db, 2)
	wantRecords(t, db, without(one), two)
}

// TestLockedTampering: what stands in the clear of a locked row is anybody's,
// but whose pod it is.
func TestLockedTampering(t *testing.T) {
	for change, tampered := range map[string]bool{
		"UPDATE pods SET publisher = 'mallory'":       true,
		"UPDATE pods SET name = 'other'":              true,
		"UPDATE pods SET pod = 'other'":               true,
		"UPDATE pods SET request_id = x'01'":          true,
		"UPDATE pods SET manifest_digest = x''":       true,
		"UPDATE pods SET reason = 'nobody vouches'":   false,
		"UPDATE pods SET key = x'00', manifest = x''": false,
	} {
		db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
		mustSave(t, db, named(1, 1))
		db = reopen(t, db, 2)
		if _, err := db.sql.Exec(change); err != nil {
			t.Fatal(err)
		}
		records, err := db.Load(t.Context())
		if tampered {
			wantReason(t, err, status.Untrusted, "store.tampered")
		} else if err != nil || len(records) != 1 || !records[0].Locked {
			t.Errorf("%s: got %v, %v", change, records, err)
		}
	}
	// A row that is passed off as another key's is locked, never opened.
	db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
	mustSave(t, db, named(1, 1))
	if _, err := db.sql.Exec("UPDATE pods SET key = x'07'"); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, db, without(named(1, 1)))
	// And one that is passed off as this key's does not open.
	db = reopen(t, db, 2)
	if _, err := db.sql.Exec("UPDATE pods SET key = ?", db.sealer.id); err != nil {
		t.Fatal(err)
	}
	_, err := db.Load(t.Context())
	wantReason(t, err, status.Untrusted, "store.tampered")
}

// TestFirstVersion: rows of the first version belong to the key of the file.
func TestFirstVersion(t *testing.T) {
	for _, first := range []byte{1, 2} {
		path := filepath.Join(t.TempDir(), "s.db")
		want := named(1, 1)
		want.PolicyVersion = 0 // had no column then
		db := open(t, path, testKey(1))
		mustSave(t, db, want)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Exec("ALTER TABLE pods DROP COLUMN key; ALTER TABLE pods DROP COLUMN policy_version; DROP TABLE documents; DROP TABLE revisions; DROP TABLE releases; DROP TABLE tlog_hashes; DROP TABLE tlog_entries; PRAGMA user_version = 1"); err != nil {
			t.Fatal(err)
		}
		if err := raw.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, path, testKey(first))
		if first == 2 {
			wantRecords(t, db, without(want))
			db = reopen(t, db, 1)
		}
		wantRecords(t, db, want)
	}
}

func TestKeyID(t *testing.T) {
	var ids [][]byte
	for n := range byte(3) {
		s, err := newSealer(testKey(n))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.id) != keyIDSize || bytes.Contains(testKey(n), s.id) || slices.ContainsFunc(ids, func(b []byte) bool { return bytes.Equal(b, s.id) }) {
			t.Errorf("key %d has id %x", n, s.id)
		}
		ids = append(ids, s.id)
	}
	a, _ := newSealer(testKey(1))
	if diff := cmp.Diff(ids[1], a.id); diff != "" {
		t.Error(diff)
	}
}
