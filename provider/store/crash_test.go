package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"apocryph/proto/status"
	"apocryph/provider"
)

// childEnv names the role of a copy of the test binary, childPath its store.
const (
	childEnv  = "APOCRYPH_STORE_TEST_CHILD"
	childPath = "APOCRYPH_STORE_TEST_PATH"
)

func runChild() {
	roles := map[string]func(context.Context, string) error{"save": saveForever, "hold": hold, "append": appendForever, "full": fillDisk}
	if err := roles[os.Getenv(childEnv)](context.Background(), os.Getenv(childPath)); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+role, childPath+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// crashRecord's fields all follow from the revision, so that a torn one shows.
func crashRecord(revision uint64) provider.Record {
	r := testRecord(1, revision)
	r.Manifest = []byte(strings.Repeat(strconv.FormatUint(revision, 10)+"\n", 3000))
	r.Reason = "revision " + strconv.FormatUint(revision, 10)
	for range revision % 5 {
		r.Obsolete = append(r.Obsolete, provider.InstanceID(r.Reason))
	}
	return r
}

// saveForever prints each revision after Save has acknowledged it.
func saveForever(ctx context.Context, path string) error {
	db, err := Open(ctx, path, testKey(1), nil)
	if err != nil {
		return err
	}
	var revision uint64
	records, err := db.Load(ctx)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		revision = records[0].Revision
	}
	for {
		revision++
		if err := db.Save(ctx, crashRecord(revision)); err != nil {
			return err
		}
		fmt.Println(revision)
	}
}

func TestKilledWhileSaving(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	var last uint64
	for round := range 8 {
		cmd := child(t, "save", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		// A different number of saves each round, so that the kill meets
		// different places; the first rounds kill during or right after Open.
		for n := 0; n < round*7 && lines.Scan(); n++ {
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
		records, err := db.Load(t.Context())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if last == 0 && len(records) == 0 {
			_ = db.Close()
			continue
		}
		// The save in flight may have reached the disk without being acknowledged.
		got := records[0].Revision
		if got != last && got != last+1 {
			t.Fatalf("round %d: revision %d after %d was acknowledged", round, got, last)
		}
		last = got
		wantRecords(t, db, crashRecord(got))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if last == 0 {
		t.Error("no round saved anything")
	}
}

func revisionOf(t *testing.T, line string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(line, 10, 64)
	if err != nil {
		t.Fatalf("child said %q", line)
	}
	return n
}

// hold keeps a store open until its standard input ends.
func hold(ctx context.Context, path string) error {
	db, err := Open(ctx, path, testKey(1), nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	bufio.NewScanner(os.Stdin).Scan()
	return db.Close()
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	cmd := child(t, "hold", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("child said %q", lines.Text())
	}
	db, err := Open(t.Context(), path, testKey(1), nil)
	if err == nil {
		_ = db.Close()
	}
	wantReason(t, err, status.Unavailable, "store.locked")
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	open(t, path, testKey(1))
}

// fillDisk mounts a file system of 2 MiB, which only this process sees, and
// saves until it is full.
func fillDisk(ctx context.Context, dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	db, err := Open(ctx, filepath.Join(dir, "s.db"), testKey(1), nil)
	if err != nil {
		return err
	}
	var saved int
	for ; saved < 1000 && err == nil; saved++ {
		r := testRecord(saved, 1)
		r.Manifest = make([]byte, 50_000)
		err = db.Save(ctx, r)
	}
	saved-- // the last one failed
	if status.CodeOf(err) != status.ResourceExhausted || status.ReasonOf(err) != "store.disk_full" {
		return fmt.Errorf("after %d saves: got %w, want store.disk_full", saved, err)
	}
	records, err := db.Load(ctx)
	if err != nil || len(records) != saved {
		return fmt.Errorf("loaded %d records, %w, want %d", len(records), err, saved)
	}
	if err := db.Close(); err != nil && status.ReasonOf(err) != "store.disk_full" {
		return err
	}
	if db, err = Open(ctx, filepath.Join(dir, "s.db"), testKey(1), nil); err != nil {
		return fmt.Errorf("reopening on a full disk: %w", err)
	}
	if records, err = db.Load(ctx); err != nil || len(records) != saved {
		return fmt.Errorf("after reopening: loaded %d records, %w, want %d", len(records), err, saved)
	}
	if err := db.Delete(ctx, records[0].ID); err != nil {
		return fmt.Errorf("deleting on a full disk: %w", err)
	}
	fmt.Println("ok", saved)
	return db.Close()
}

func TestDiskFull(t *testing.T) {
	cmd := child(t, "full", t.TempDir())
	// Unsharing, unlike cloning, also makes the mounts private: nothing of the
	// child's is seen outside.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.HasPrefix(string(out), "ok ") || strings.HasPrefix(string(out), "ok 0") {
		t.Errorf("child said %q", out)
	}
}
