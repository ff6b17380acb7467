package vault

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

func volume(t testing.TB, v *Vault, name string, key []byte, size int64) Volume {
	t.Helper()
	vol, err := v.Volume(t.Context(), name, key, size)
	if err != nil {
		t.Fatal(err)
	}
	return vol
}

func TestVolume(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	path := filepath.Join(dir, "mounts/pod.vol/data")
	want := Volume{Path: path, Kind: FSCrypt, Size: testSize, Created: true}
	if diff := cmp.Diff(want, volume(t, v, "pod.vol", testKey(1), testSize)); diff != "" {
		t.Error(diff)
	}
	mustWrite(t, filepath.Join(path, "a"), "kept")
	if err := errors.Join(os.Chown(path, 100_000, 100_000), os.Chmod(path, 0o770)); err != nil {
		t.Fatal(err)
	}
	// The caller's key is not the kernel's.
	if has, err := keyPresent(v.data, mustID(t, testKey(1))); err != nil || has {
		t.Errorf("the key is given as it is: %t, %v", has, err)
	}
	want.Created = false
	again := func() {
		t.Helper()
		if diff := cmp.Diff(want, volume(t, v, "pod.vol", testKey(1), testSize)); diff != "" {
			t.Error(diff)
		}
		wantFile(t, filepath.Join(path, "a"), "kept")
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Uid != 100_000 || st.Mode&0o7777 != 0o770 {
			t.Errorf("owner %d, mode %o, %v", st.Uid, st.Mode, err)
		}
	}
	again()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = open(t, config(dir))
	wantFile(t, filepath.Join(path, "a"), "kept")
	again()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	reboot(t, dir)
	v = open(t, config(dir))
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a reboot, without a key, there is a directory: %v", err)
	}
	again()
	volume(t, v, "a", testKey(2), testSize)
	if names, err := v.Volumes(); err != nil || strings.Join(names, " ") != "a pod.vol" {
		t.Errorf("volumes %v, %v", names, err)
	}
	// Volumes stay when private storage goes.
	if err := v.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	v = open(t, config(dir))
	again()
	for range 2 {
		if err := v.RemoveVolume(t.Context(), "pod.vol"); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := v.Volumes(); err != nil || strings.Join(names, " ") != "a" {
		t.Errorf("volumes %v, %v", names, err)
	}
	if vol := volume(t, v, "pod.vol", testKey(3), testSize); !vol.Created {
		t.Error("a removed volume was there")
	}
}

func mustID(t *testing.T, key []byte) keyID {
	t.Helper()
	id, err := keyIDOf(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestKeyID compares our name of a key with the kernel's.
func TestKeyID(t *testing.T) {
	v := open(t, config(tempDir(t)))
	key := append(testKey(7), testKey(8)...)
	got, err := addKey(v.data, key)
	if err != nil || got != mustID(t, key) {
		t.Errorf("the kernel says %x, %v, we %x", got, err, mustID(t, key))
	}
}

func TestVolumeKey(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	vol := volume(t, v, "vol", testKey(1), testSize)
	mustWrite(t, filepath.Join(vol.Path, "a"), "secret")
	refused := func(when string) {
		t.Helper()
		for _, key := range [][]byte{testKey(2), append(testKey(1), 0), testKey(1)[:31], nil, make([]byte, 65)} {
			_, err := v.Volume(t.Context(), "vol", key, testSize)
			if len(key) < minKey || len(key) > maxKey {
				wantStatus(t, err, status.InvalidArgument, "vault.volume")
			} else {
				wantStatus(t, err, status.PermissionDenied, "vault.key")
			}
			if err != nil && strings.Contains(err.Error(), string(testKey(1)[:8])) {
				t.Errorf("%s: the error has the key: %v", when, err)
			}
		}
	}
	refused("while open")
	wantFile(t, filepath.Join(vol.Path, "a"), "secret")
	if err := v.CloseVolume(t.Context(), "vol"); err != nil {
		t.Fatal(err)
	}
	refused("while closed")
	if m := leftMounts(t, dir); len(m) != 1 {
		t.Errorf("after a refusal, mounted: %v", m)
	}
	// The kernel would show no content without the key.
	volume(t, v, "vol", testKey(1), testSize)
	dropKey(vol.Path)
	if _, err := os.ReadFile(filepath.Join(vol.Path, "a")); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOKEY) {
		t.Errorf("reading without a key: %v", err)
	}
	volume(t, v, "vol", testKey(1), testSize)
	wantFile(t, filepath.Join(vol.Path, "a"), "secret")
	// The image of one volume is none of another.
	if err := v.CloseVolume(t.Context(), "vol"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(v.dirs.volumeImage("vol"), v.dirs.volumeImage("other")); err != nil {
		t.Fatal(err)
	}
	_, err := v.Volume(t.Context(), "other", testKey(1), testSize)
	wantStatus(t, err, status.PermissionDenied, "vault.key")
}

func TestVolumeQuota(t *testing.T) {
	v := open(t, config(tempDir(t)))
	vol := volume(t, v, "vol", testKey(1), 1)
	if vol.Size != minSize {
		t.Errorf("size %d", vol.Size)
	}
	f, err := os.Create(filepath.Join(vol.Path, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, buf := 0, make([]byte, 1<<20)
	for err == nil && n < 2*minSize {
		var m int
		m, err = f.Write(buf)
		n += m
	}
	if !errors.Is(err, unix.ENOSPC) || n > minSize || n < minSize/2 {
		t.Errorf("after %d bytes: %v", n, err)
	}
	// It is usable as soon as there is room again, and the other storage always.
	mustWrite(t, filepath.Join(v.Path(), "x"), "room")
	if err := errors.Join(f.Truncate(0), os.WriteFile(filepath.Join(vol.Path, "x"), buf, 0o600)); err != nil {
		t.Error(err)
	}
}

func TestVolumeGrow(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	vol := volume(t, v, "vol", testKey(1), testSize)
	mustWrite(t, filepath.Join(vol.Path, "a"), "kept")
	if !able(t) {
		_, err := v.Volume(t.Context(), "vol", testKey(1), 2*testSize)
		wantStatus(t, err, status.PermissionDenied, "vault.resize")
		wantStatus(t, v.Grow(t.Context(), 2*testSize), status.PermissionDenied, "vault.resize")
		wantFile(t, filepath.Join(vol.Path, "a"), "kept")
		return
	}
	f, err := os.Open(filepath.Join(vol.Path, "a"))
	if err != nil {
		t.Fatal(err)
	}
	room := func() int64 {
		var st unix.Statfs_t
		if err := unix.Statfs(vol.Path, &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Blocks) * st.Bsize
	}
	// While it is used, and while it is not.
	for i, size := range []int64{2 * testSize, 3*testSize + 4097, 20 * testSize} {
		if i == 2 {
			if err := errors.Join(f.Close(), v.CloseVolume(t.Context(), "vol")); err != nil {
				t.Fatal(err)
			}
		}
		vol = volume(t, v, "vol", testKey(1), size)
		if vol.Size != roundSize(size) || vol.Created || room() < size/10*9 || room() > size {
			t.Errorf("grown to %d: %+v with room for %d", size, vol, room())
		}
		wantFile(t, filepath.Join(vol.Path, "a"), "kept")
		var st unix.Stat_t
		if err := unix.Stat(v.dirs.volumeImage("vol"), &st); err != nil || st.Size != roundSize(size) || st.Blocks*512 < st.Size {
			t.Errorf("the image has %d bytes, %d on the disk, %v", st.Size, st.Blocks*512, err)
		}
	}
	vol = volume(t, v, "vol", testKey(1), 20*testSize)
	wantFile(t, filepath.Join(vol.Path, "a"), "kept")
}

// TestGrowPrivate has private storage grow by a call, and by its configuration.
func TestGrowPrivate(t *testing.T) {
	cfg := config(tempDir(t))
	v := open(t, cfg)
	mustWrite(t, filepath.Join(v.Path(), "a"), "kept")
	want := func(size int64) {
		t.Helper()
		if !able(t) {
			size = testSize
		}
		var st unix.Statfs_t
		if err := unix.Statfs(v.Path(), &st); err != nil || int64(st.Blocks)*st.Bsize < size/10*9 || int64(st.Blocks)*st.Bsize > size {
			t.Errorf("room for %d, want %d, %v", int64(st.Blocks)*st.Bsize, size, err)
		}
		wantFile(t, filepath.Join(v.Path(), "a"), "kept")
	}
	if err := v.Grow(t.Context(), 2*testSize); (err == nil) != able(t) {
		t.Error(err)
	}
	want(2 * testSize)
	// A larger size is a wish, a smaller one no reason to begin anew.
	for _, size := range []int64{4 * testSize, testSize} {
		cfg.Size = size
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		v = open(t, cfg)
		want(4 * testSize)
	}
}

// able reports whether file systems can grow here.
func able(t *testing.T) bool {
	t.Helper()
	ok, err := canResize()
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestVolumeShrink(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	for i := range 2 {
		volume(t, v, "vol", testKey(1), testSize)
		if i == 1 {
			if err := v.CloseVolume(t.Context(), "vol"); err != nil {
				t.Fatal(err)
			}
		}
		_, err := v.Volume(t.Context(), "vol", testKey(1), testSize-blockSize)
		wantStatus(t, err, status.InvalidArgument, "vault.shrink")
		if m := leftMounts(t, dir); len(m) != 2-i {
			t.Errorf("mounted: %v", m)
		}
	}
	wantStatus(t, v.Grow(t.Context(), testSize-blockSize), status.InvalidArgument, "vault.shrink")
	wantStatus(t, v.Grow(t.Context(), testSize), status.OK, "")
	_, err := v.Volume(t.Context(), "vol", testKey(1), 15<<40)
	wantStatus(t, err, status.ResourceExhausted, "vault.space")
}

func TestVolumeBusy(t *testing.T) {
	v := open(t, config(tempDir(t)))
	vol := volume(t, v, "vol", testKey(1), testSize)
	mustWrite(t, filepath.Join(vol.Path, "a"), "kept")
	f, err := os.Open(filepath.Join(vol.Path, "a"))
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, v.CloseVolume(t.Context(), "vol"), status.Conflict, "vault.busy")
	wantStatus(t, v.RemoveVolume(t.Context(), "vol"), status.Conflict, "vault.busy")
	wantFile(t, filepath.Join(vol.Path, "a"), "kept")
	if v.volumes["vol"] == nil {
		t.Error("the volume's directory is not held any more")
	}
	if err := errors.Join(f.Close(), v.CloseVolume(t.Context(), "vol"), v.CloseVolume(t.Context(), "vol")); err != nil {
		t.Error(err)
	}
}

func TestVolumeNames(t *testing.T) {
	v := open(t, config(tempDir(t)))
	for _, name := range []string{"", ".", "..", "a/b", "../x", "-x", ".x", "a b", "a\x00", "ä", strings.Repeat("a", 201)} {
		_, err := v.Volume(t.Context(), name, testKey(1), testSize)
		wantStatus(t, err, status.InvalidArgument, "vault.volume")
		wantStatus(t, v.CloseVolume(t.Context(), name), status.InvalidArgument, "vault.volume")
		wantStatus(t, v.RemoveVolume(t.Context(), name), status.InvalidArgument, "vault.volume")
	}
	for _, size := range []int64{0, -1, maxSize + 1} {
		_, err := v.Volume(t.Context(), "vol", testKey(1), size)
		wantStatus(t, err, status.InvalidArgument, "vault.volume")
	}
	if err := errors.Join(v.CloseVolume(t.Context(), "none"), v.RemoveVolume(t.Context(), "none")); err != nil {
		t.Error(err)
	}
}

func TestPlainVolume(t *testing.T) {
	dir := tempDir(t)
	cfg := Config{Dir: dir, Kind: None}
	v := open(t, cfg)
	vol := volume(t, v, "vol", testKey(1), testSize)
	want := Volume{Path: filepath.Join(dir, "mounts/vol/data"), Kind: None, Created: true}
	if diff := cmp.Diff(want, vol); diff != "" {
		t.Error(diff)
	}
	mustWrite(t, filepath.Join(vol.Path, "a"), "kept")
	want.Created = false
	if diff := cmp.Diff(want, volume(t, v, "vol", testKey(1), testSize)); diff != "" {
		t.Error(diff)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	// Neither hides the other.
	v = open(t, config(dir))
	_, err := v.Volume(t.Context(), "vol", testKey(1), testSize)
	wantStatus(t, err, status.Conflict, "vault.kind")
	wantFile(t, filepath.Join(vol.Path, "a"), "kept")
	volume(t, v, "encrypted", testKey(1), testSize)
	if err := errors.Join(v.CloseVolume(t.Context(), "encrypted"), v.Close()); err != nil {
		t.Fatal(err)
	}
	v = open(t, cfg)
	_, err = v.Volume(t.Context(), "encrypted", testKey(1), testSize)
	wantStatus(t, err, status.Conflict, "vault.kind")
	if err := v.RemoveVolume(t.Context(), "vol"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(vol.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a removed volume: %v", err)
	}
}
