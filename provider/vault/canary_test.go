package vault

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// canary is a text that nothing else on a disk has.
func canary() string { return "canary-" + rand.Text() }

// plant writes a canary where programs write: contents small and large, names,
// targets of links, deleted and renamed files, memory that is mapped.
func plant(t *testing.T, dir, text string) {
	t.Helper()
	mustWrite(t, filepath.Join(dir, "small"), text)
	mustWrite(t, filepath.Join(dir, "large"), strings.Repeat(text+"\n", 100_000))
	mustWrite(t, filepath.Join(dir, text, "deep-"+text, "file-"+text), "named")
	mustWrite(t, filepath.Join(dir, "deleted-"+text), strings.Repeat(text, 1000))
	mustWrite(t, filepath.Join(dir, "renamed-"+text), text)
	err := errors.Join(
		os.Symlink("/to/"+text, filepath.Join(dir, "link")),
		os.Symlink("/to/"+strings.Repeat("long", 100)+text, filepath.Join(dir, "long-link")),
		os.Rename(filepath.Join(dir, "renamed-"+text), filepath.Join(dir, "other-"+text)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "mapped"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(mem[4000:], text)
	if err := errors.Join(unix.Msync(mem, unix.MS_SYNC), unix.Munmap(mem), f.Sync()); err != nil {
		t.Fatal(err)
	}
	// It has reached the disk before it is deleted.
	unix.Sync()
	if err := os.Remove(filepath.Join(dir, "deleted-"+text)); err != nil {
		t.Fatal(err)
	}
}

func wantPlanted(t *testing.T, dir, text string) {
	t.Helper()
	wantFile(t, filepath.Join(dir, "small"), text)
	wantFile(t, filepath.Join(dir, "large"), strings.Repeat(text+"\n", 100_000))
	wantFile(t, filepath.Join(dir, text, "deep-"+text, "file-"+text), "named")
	wantFile(t, filepath.Join(dir, "other-"+text), text)
	if to, err := os.Readlink(filepath.Join(dir, "link")); err != nil || to != "/to/"+text {
		t.Errorf("the link goes to %q, %v", to, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "mapped")); err != nil || !strings.HasPrefix(string(b[4000:]), text) {
		t.Errorf("the mapped file has no canary: %v", err)
	}
}

func TestCanaryPrivate(t *testing.T) {
	d := newDisk(t, 256<<20)
	dir := filepath.Join(d.dir, "private")
	v, err := Open(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	text, control := canary(), canary()
	plant(t, v.Path(), text)
	// The search finds what is not encrypted: beside the directory, and below.
	mustWrite(t, filepath.Join(filepath.Dir(v.Path()), "beside"), control+"-contents")
	if err := os.Mkdir(filepath.Join(filepath.Dir(v.Path()), control), 0o700); err != nil {
		t.Fatal(err)
	}
	look := func(when string, wantControl bool) {
		t.Helper()
		if n := d.find(t, text); n != 0 {
			t.Errorf("%s, the canary is on the disk %d times", when, n)
		}
		if n := d.find(t, control); (n > 0) != wantControl {
			t.Errorf("%s, the unencrypted control is on the disk %d times", when, n)
		}
	}
	look("while mounted", true)
	wantPlanted(t, v.Path(), text)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	reboot(t, dir)
	look("after a reboot", true)
	if n := count(t, layout{dir}.image(), control); n == 0 {
		t.Error("the image has no control")
	}
	v = open(t, config(dir))
	if left, err := os.ReadDir(v.Path()); err != nil || len(left) != 0 {
		t.Errorf("after a reboot there is %v, %v", left, err)
	}
	look("after it was made anew", true)
	destroy(t, v)
	if n := d.find(t, text); n != 0 {
		t.Errorf("after removal, the canary is on the disk %d times", n)
	}
}

func TestCanaryVolume(t *testing.T) {
	d := newDisk(t, 256<<20)
	dir := filepath.Join(d.dir, "private")
	v := open(t, config(dir))
	key, text := testKey(1), canary()
	// A key that stands out in memory and on disks.
	copy(key, "key-"+text)
	vol, err := v.Volume(t.Context(), "vol", key, testSize)
	if err != nil {
		t.Fatal(err)
	}
	plant(t, vol.Path, text)
	for _, when := range []string{"while mounted", "after a reboot"} {
		if n := d.find(t, text); n != 0 {
			t.Errorf("%s, the canary is on the disk %d times", when, n)
		}
		if err := v.CloseVolume(t.Context(), "vol"); err != nil {
			t.Fatal(err)
		}
	}
	if vol, err = v.Volume(t.Context(), "vol", key, testSize); err != nil {
		t.Fatal(err)
	}
	wantPlanted(t, vol.Path, text)
	if err := v.RemoveVolume(t.Context(), "vol"); err != nil {
		t.Fatal(err)
	}
	if n := d.find(t, text); n != 0 {
		t.Errorf("after removal, the canary is on the disk %d times", n)
	}
}

// TestPlainHidesNothing says that the search would find what the others look for.
func TestPlainHidesNothing(t *testing.T) {
	d := newDisk(t, 128<<20)
	v := open(t, Config{Dir: filepath.Join(d.dir, "private"), Kind: None})
	text := canary()
	plant(t, v.Path(), text)
	if n := d.find(t, text); n < 100_000 {
		t.Errorf("the canary is on the disk %d times", n)
	}
}

func testKey(n byte) []byte {
	k := make([]byte, 32)
	for i := range k {
		k[i] = n + byte(i)
	}
	return k
}
