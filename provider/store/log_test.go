package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	xtlog "golang.org/x/mod/sumdb/tlog"

	"apocryph/attest/tlog"
	"apocryph/proto/status"
	"apocryph/provider"
)

func logEntry(n int) tlog.Entry {
	return tlog.ClaimsEntry(time.UnixMilli(1_700_000_000_000+int64(n)), sha256.Sum256(fmt.Append(nil, n)))
}

func grow(t testing.TB, s tlog.Storage, from, to int) {
	t.Helper()
	l := tlog.New(s)
	for n := from; n < to; n++ {
		got, err := l.Append(t.Context(), logEntry(n))
		if err != nil || got != int64(n) {
			t.Fatalf("entry %d became number %d: %v", n, got, err)
		}
	}
}

// TestStorage is what the log demands of a storage, of the reference and of ours.
func TestStorage(t *testing.T) {
	for name, fresh := range map[string]func(*testing.T) tlog.Storage{
		"memory": func(*testing.T) tlog.Storage { return new(tlog.Memory) },
		"store":  func(t *testing.T) tlog.Storage { return open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1)).Log() },
	} {
		t.Run(name, func(t *testing.T) {
			s, reference := fresh(t), new(tlog.Memory)
			if h, err := s.ReadHashes(t.Context(), nil); len(h) != 0 || err != nil {
				t.Errorf("no hashes: got %v, %v", h, err)
			}
			for n := range 40 {
				if size, err := s.Size(t.Context()); size != int64(n) || err != nil {
					t.Fatalf("size is %d, %v, want %d", size, err, n)
				}
				grow(t, s, n, n+1)
				grow(t, reference, n, n+1)
			}
			// In the order that was asked for, repeated ones too.
			numbers := []int64{7, 0, 77, 7, 3}
			got, err := s.ReadHashes(t.Context(), numbers)
			if err != nil {
				t.Fatal(err)
			}
			want, err := reference.ReadHashes(t.Context(), numbers)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for _, n := range []int64{-1, xtlog.StoredHashCount(40), 1 << 50} {
				if h, err := s.ReadHashes(t.Context(), []int64{0, n}); err == nil || h != nil {
					t.Errorf("hash %d: got %v, %v", n, h, err)
				}
			}
			entry, err := logEntry(40).Encode()
			if err != nil {
				t.Fatal(err)
			}
			first := xtlog.StoredHashIndex(0, 40)
			for _, at := range [][2]int64{{39, first}, {41, first}, {0, 0}, {-1, first}, {40, first - 1}, {40, first + 1}} {
				err := s.Append(t.Context(), at[0], entry, at[1], []tlog.Hash{{1}})
				if status.CodeOf(err) != status.Conflict {
					t.Errorf("appending at %v: got %v", at, err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if name != "memory" {
				if err := s.Append(ctx, 40, entry, first, []tlog.Hash{{1}}); err == nil {
					t.Error("appended for a caller who was gone")
				}
			}
			if size, err := s.Size(t.Context()); size != 40 || err != nil {
				t.Errorf("after refusals the size is %d, %v", size, err)
			}
			// One log, many callers.
			l := tlog.New(s)
			var group sync.WaitGroup
			for n := 40; n < 60; n++ {
				group.Go(func() {
					if _, err := l.Append(t.Context(), logEntry(n)); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if _, err := l.ProveConsistency(t.Context(), 40, 60); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLogSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	db := open(t, path, testKey(1))
	grow(t, db.Log(), 0, 20)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, testKey(1))
	grow(t, db.Log(), 20, 30)
	reference := new(tlog.Memory)
	grow(t, reference, 0, 30)
	all := make([]int64, xtlog.StoredHashCount(30))
	for i := range all {
		all[i] = int64(i)
	}
	got, err := db.Log().ReadHashes(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	want, err := reference.ReadHashes(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFind(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
	grow(t, db.Log(), 0, 20)
	for n := range 20 {
		if got, ok, err := db.Log().Find(t.Context(), logEntry(n).Leaf()); got != int64(n) || !ok || err != nil {
			t.Errorf("entry %d: found %d, %v, %v", n, got, ok, err)
		}
	}
	// The same beginning is not the same leaf.
	near := logEntry(3).Leaf()
	near[31] ^= 1
	for _, leaf := range []tlog.Hash{near, {}, logEntry(20).Leaf()} {
		if n, ok, err := db.Log().Find(t.Context(), leaf); ok || err != nil {
			t.Errorf("found %d for a leaf that is not there, %v", n, err)
		}
	}
}

// The disk's owner may write what he likes: no proof comes out of it.
func TestLogDamage(t *testing.T) {
	for _, change := range []string{
		"UPDATE tlog_hashes SET hash = zeroblob(32) WHERE number = 0",
		"UPDATE tlog_hashes SET hash = x'01' WHERE number = 2",
		"DELETE FROM tlog_hashes WHERE number = 1",
	} {
		t.Run(change, func(t *testing.T) {
			db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
			grow(t, db.Log(), 0, 9)
			if _, err := db.sql.Exec(change); err != nil {
				t.Fatal(err)
			}
			l := tlog.New(db.Log())
			failed := false
			for n := range int64(9) {
				_, err := l.ProveInclusion(t.Context(), n, 9)
				failed = failed || err != nil
			}
			if !failed {
				t.Error("every entry is proven all the same")
			}
		})
	}
}

func TestReleaseIsKept(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "s.db"), testKey(1))
	a, b := testRecord(1, 1), testRecord(2, 1)
	a.Release = &provider.KeyRelease{Number: 7, At: time.UnixMilli(1_700_000_000_123).UTC(), Claims: [32]byte{1}, Salt: [32]byte{2}}
	mustSave(t, db, a, b)
	wantRecords(t, db, a, b)
	a.Revision, a.Release = 2, &provider.KeyRelease{Number: 9, At: a.Release.At, Claims: [32]byte{3}, Salt: [32]byte{4}}
	mustSave(t, db, a)
	wantRecords(t, db, a, b)
	bare := a
	bare.Release = nil
	mustSave(t, db, bare)
	wantRecords(t, db, bare, b)
	mustSave(t, db, a)
	if err := db.Delete(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.sql.QueryRow("SELECT count(*) FROM releases").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d releases are left, %v", left, err)
	}
}

// A release of another pod or of another revision is found out, and its salt
// stands nowhere in the clear.
func TestReleaseIsSealed(t *testing.T) {
	for _, change := range []string{
		"UPDATE releases SET sealed = x''",
		"UPDATE releases SET sealed = (SELECT sealed FROM releases WHERE pod = 2) WHERE pod = 1",
		"UPDATE releases SET sealed = (SELECT old FROM kept) WHERE pod = 1",
	} {
		t.Run(change, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, filepath.Join(dir, "s.db"), testKey(1))
			var salt [32]byte
			copy(salt[:], "CANARY-OF-A-SALT-CANARY-OF-A-SAL")
			a, b := testRecord(1, 1), testRecord(2, 1)
			a.Release, b.Release = &provider.KeyRelease{Salt: salt}, &provider.KeyRelease{Salt: salt}
			mustSave(t, db, a, b)
			if _, err := db.sql.Exec("CREATE TABLE kept (old BLOB); INSERT INTO kept SELECT sealed FROM releases WHERE pod = 1"); err != nil {
				t.Fatal(err)
			}
			a.Revision = 2
			mustSave(t, db, a)
			if _, err := db.sql.Exec(change); err != nil {
				t.Fatal(err)
			}
			_, err := db.Load(t.Context())
			wantReason(t, err, status.Untrusted, "store.tampered")
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			for _, f := range files {
				if raw, err := os.ReadFile(f); err != nil || bytes.Contains(raw, salt[:16]) {
					t.Errorf("%s has the salt, or is unreadable: %v", f, err)
				}
			}
		})
	}
}

// A store of the version before gets the tables, and keeps its pods.
func TestMigratesToLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	db := open(t, path, testKey(1))
	a := testRecord(1, 1)
	mustSave(t, db, a)
	if _, err := db.sql.Exec("DROP TABLE documents; DROP TABLE revisions; DROP TABLE releases; DROP TABLE tlog_hashes; DROP TABLE tlog_entries; PRAGMA user_version = 3"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, testKey(1))
	wantRecords(t, db, a)
	grow(t, db.Log(), 0, 3)
}

// appendForever prints each number after Append has acknowledged it.
func appendForever(ctx context.Context, path string) error {
	db, err := Open(ctx, path, testKey(1), nil)
	if err != nil {
		return err
	}
	l := tlog.New(db.Log())
	size, err := db.Log().Size(ctx)
	if err != nil {
		return err
	}
	for n := int(size); ; n++ {
		if _, err := l.Append(ctx, logEntry(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func TestKilledWhileAppending(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	last := uint64(0)
	for round := range 4 {
		cmd := child(t, "append", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 1+round*7 && lines.Scan(); n++ {
			last = revisionOf(t, lines.Text())
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			last = revisionOf(t, lines.Text())
		}
		_ = cmd.Wait() // killed
		db := open(t, path, testKey(1))
		size, err := db.Log().Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if uint64(size) != last+1 && uint64(size) != last+2 {
			t.Fatalf("%d entries after number %d was acknowledged", size, last)
		}
		reference := new(tlog.Memory)
		grow(t, reference, 0, int(size))
		_, head, err := tlog.New(reference).Sign(t.Context(), "p", []byte{1}, time.UnixMilli(1), testSigner())
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.New(db.Log()).Contains(t.Context(), head); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHeadFile(t *testing.T) {
	dir := t.TempDir()
	h := NewHeadFile(filepath.Join(dir, "head"))
	if b, err := h.LoadHead(); b != nil || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	for _, text := range []string{"one", "another", ""} {
		if err := h.SaveHead([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := h.LoadHead(); string(b) != text || b == nil || err != nil {
			t.Errorf("got %q, %v, want %q", b, err, text)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := h.SaveHead(make([]byte, maxHeadFile+1)); err != nil {
		t.Fatal(err)
	}
	_, err = h.LoadHead()
	wantReason(t, err, status.Internal, "store.corrupt")
	if err := NewHeadFile(filepath.Join(dir, "missing", "head")).SaveHead(nil); err == nil {
		t.Error("saved into a directory that is not there")
	}
	if _, err := NewHeadFile(dir).LoadHead(); err == nil {
		t.Error("a directory was read")
	}
}

func testSigner() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(testKey(9)) }
