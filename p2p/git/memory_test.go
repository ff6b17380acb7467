package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"apocryph/attest/commit"
)

// TestDeepTreeIsNotHeld: a tree within a tree, and so on, whose last one has many files,
// is some megabytes of objects. The list of its files has the whole path of each.
func TestDeepTreeIsNotHeld(t *testing.T) {
	const files, most = 20_000, 256 << 20
	deep := strings.Repeat(strings.Repeat("d", 250)+"/", 240)
	r, w := io.Pipe()
	go func() {
		var err error
		for i := 0; i < files && err == nil; i++ {
			_, err = fmt.Fprintf(w, "100644 blob %040x\t%sf%05d\x00", i, deep, i)
		}
		_ = w.CloseWithError(err)
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	list, err := readTree(r, DefaultLimits().Entries)
	runtime.GC()
	runtime.ReadMemStats(&after)
	_ = r.Close()
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > most {
		t.Errorf("a list of %d files takes %d MiB", len(list), held>>20)
	}
	if !errors.Is(err, errOutput) {
		t.Errorf("got %v, want %v", err, errOutput)
	}
	runtime.KeepAlive(list)
}

// TestUsualTreeIsRead: as many files as a tree may have, with paths as they are.
func TestUsualTreeIsRead(t *testing.T) {
	var b strings.Builder
	n := DefaultLimits().Entries
	for i := range n {
		fmt.Fprintf(&b, "100644 blob %040x\tpackages/some-package-%06d/src/main/java/org/example/project/component/Implementation%06d.java\x00", i, i/100, i)
	}
	list, err := readTree(strings.NewReader(b.String()), n)
	if err != nil || len(list) != n {
		t.Errorf("got %d files, %v", len(list), err)
	}
}

// TestLongCommitsAreNotHeld: what is compressed in a repository is not here.
func TestLongCommitsAreNotHeld(t *testing.T) {
	var ids []string
	var stream bytes.Buffer
	for i := 0; i <= maxCommits/maxCommit; i++ {
		raw := bytes.Repeat([]byte{'a' + byte(i%26)}, maxCommit-i)
		id := commit.ID(raw)
		ids = append(ids, id)
		fmt.Fprintf(&stream, "%s commit %d\n%s\n", id, len(raw), raw)
	}
	whole := stream.Bytes()
	if all, err := readCommits(bufio.NewReader(bytes.NewReader(whole)), ids[:len(ids)-1]); err != nil || len(all) != len(ids)-1 {
		t.Errorf("got %d commits, %v", len(all), err)
	}
	// What is left out of each is less than one more.
	for range 2 {
		ids = append(ids, ids[0])
		whole = append(whole, whole[:maxCommit+len(ids[0])+len(" commit 262144\n\n")]...)
	}
	if _, err := readCommits(bufio.NewReader(bytes.NewReader(whole)), ids); !errors.Is(err, errOutput) {
		t.Errorf("got %v, want %v", err, errOutput)
	}
}
