package vault

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// TestFullDisk has the disk below be too small, from the start or by then.
func TestFullDisk(t *testing.T) {
	d := newDisk(t, 96<<20)
	dir := filepath.Join(d.dir, "private")
	nothing := func() {
		t.Helper()
		for _, name := range []string{"tmp", "images"} {
			if left, err := os.ReadDir(filepath.Join(dir, name)); err != nil || len(left) != 0 {
				t.Errorf("%s has %v, %v", name, left, err)
			}
		}
		if m := leftMounts(t, dir); len(m) > 1 {
			t.Errorf("mounted: %v", m)
		}
	}
	for _, reserve := range []bool{false, true} {
		_, err := Open(t.Context(), Config{Dir: dir, Size: 1 << 30, Reserve: reserve})
		wantStatus(t, err, status.ResourceExhausted, "vault.space")
		nothing()
	}
	// It takes half of what is free by default.
	v := open(t, Config{Dir: dir})
	st, err := os.Stat(v.dirs.image())
	if err != nil || st.Size() < 32<<20 || st.Size() > 56<<20 {
		t.Errorf("the image has %d bytes, %v", st.Size(), err)
	}
	_, err = v.Volume(t.Context(), "vol", testKey(1), 100<<20)
	wantStatus(t, err, status.ResourceExhausted, "vault.space")
	nothing()
	if err := v.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The disk is full before it can begin, and too full when mkfs writes.
	fill, err := os.Create(filepath.Join(d.dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	free, err := freeDisk(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	take := func(n int64) {
		if err := unix.Fallocate(int(fill.Fd()), 0, 0, n); err != nil {
			t.Fatal(err)
		}
	}
	take(free - 20<<20)
	for _, step := range []string{"mkfs", "image"} {
		cfg := Config{Dir: dir, Size: minSize}
		cfg.step = func(name string) {
			if name == step {
				for n := int64(1 << 20); n > 0; n /= 2 {
					for st, _ := fill.Stat(); unix.Fallocate(int(fill.Fd()), 0, st.Size(), n) == nil; st, _ = fill.Stat() {
					}
				}
			}
		}
		v, err := Open(t.Context(), cfg)
		if err == nil {
			// What had its place before the disk was full.
			destroy(t, v)
		} else if status.CodeOf(err) == status.OK {
			t.Errorf("%s: got %v", step, err)
		}
		nothing()
		if err := fill.Truncate(0); err != nil {
			t.Fatal(err)
		}
		take(free - 20<<20)
	}
	take(free - minSize/2)
	_, err = Open(t.Context(), Config{Dir: dir})
	wantStatus(t, err, status.ResourceExhausted, "vault.space")
	nothing()
	if err := fill.Truncate(0); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, open(t, Config{Dir: dir, Size: minSize, Reserve: true}))
}

// TestReserve has an image keep its space on the disk, also when it was used and
// is free again.
func TestReserve(t *testing.T) {
	for _, reserve := range []bool{false, true} {
		cfg := config(tempDir(t))
		cfg.Reserve = reserve
		v := open(t, cfg)
		vol := volume(t, v, "vol", testKey(1), testSize)
		want := func(image string, reserved bool) {
			t.Helper()
			unix.Sync()
			var st unix.Stat_t
			if err := unix.Stat(image, &st); err != nil || st.Size != testSize || (st.Blocks*512 >= testSize) != reserved {
				t.Errorf("reserve %t: %d bytes, %d on the disk, %v", reserve, st.Size, st.Blocks*512, err)
			}
		}
		for range 2 {
			want(v.dirs.image(), reserve)
			want(v.dirs.volumeImage("vol"), true)
			for _, dir := range []string{v.Path(), vol.Path} {
				big := filepath.Join(dir, "big")
				mustWrite(t, big, strings.Repeat("x", testSize/2))
				unix.Sync()
				if err := os.Remove(big); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestMemory(t *testing.T) {
	dir := tempDir(t)
	cfg := Config{Dir: dir, Kind: TmpFS, Size: 1 << 20}
	v := open(t, cfg)
	big := filepath.Join(v.Path(), "big")
	if err := os.WriteFile(big, make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("writing past the limit: %v", err)
	}
	wantStatus(t, v.Grow(t.Context(), 1<<19), status.InvalidArgument, "vault.config")
	wantStatus(t, v.Grow(t.Context(), 4<<20), status.OK, "")
	wantStatus(t, v.Grow(t.Context(), 2<<20), status.InvalidArgument, "vault.shrink")
	if err := os.WriteFile(big, make([]byte, 2<<20), 0o600); err != nil {
		t.Error(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	// What is there stays as large as it is, or grows.
	for _, size := range []int64{1 << 20, 8 << 20} {
		cfg.Size = size
		v = open(t, cfg)
		var st unix.Statfs_t
		if err := unix.Statfs(v.Path(), &st); err != nil || st.Type != unix.TMPFS_MAGIC || int64(st.Blocks)*st.Bsize != max(size, 4<<20) {
			t.Errorf("%d bytes of %x, %v", int64(st.Blocks)*st.Bsize, st.Type, err)
		}
		if want := int64(unix.ST_NODEV | unix.ST_NOSUID); st.Flags&want != want {
			t.Errorf("mount flags %#x", st.Flags)
		}
		if st, err := os.Stat(big); err != nil || st.Size() != 2<<20 {
			t.Errorf("%v, %v", st, err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	reboot(t, dir)
	v = open(t, cfg)
	if left, err := os.ReadDir(v.Path()); err != nil || len(left) != 0 {
		t.Errorf("after a reboot there is %v, %v", left, err)
	}
	// Volumes are on the disk all the same.
	if vol := volume(t, v, "vol", testKey(1), testSize); vol.Kind != FSCrypt {
		t.Errorf("the volume is of kind %s", vol.Kind)
	}
}

// TestChangeKind has each kind follow each: nothing of the one before stays.
func TestChangeKind(t *testing.T) {
	kinds := []Kind{FSCrypt, TmpFS, None}
	for _, from := range kinds {
		for _, to := range kinds {
			if from == to {
				continue
			}
			t.Run(string(from+" to "+to), func(t *testing.T) {
				dir := tempDir(t)
				cfg := config(dir)
				cfg.Kind = from
				v := open(t, cfg)
				mustWrite(t, filepath.Join(v.Path(), "old"), "old")
				if err := v.Close(); err != nil {
					t.Fatal(err)
				}
				cfg.Kind = to
				v = open(t, cfg)
				if left, err := os.ReadDir(v.Path()); err != nil || len(left) != 0 {
					t.Errorf("there is %v, %v", left, err)
				}
				want := map[Kind]int{FSCrypt: 1}[to]
				if l := leftLoops(t, dir, want); len(l) != want {
					t.Errorf("attached: %v", l)
				}
				if m := leftMounts(t, dir); len(m) != map[Kind]int{FSCrypt: 1, TmpFS: 1}[to] {
					t.Errorf("mounted: %v", m)
				}
				if _, err := os.Stat(v.dirs.image()); (err == nil) != (to == FSCrypt) {
					t.Errorf("the image: %v", err)
				}
			})
		}
	}
}

// TestFallback has a machine without loop devices.
func TestFallback(t *testing.T) {
	dir := tempDir(t)
	hide(t, "/dev/loop-control")
	_, err := Open(t.Context(), config(dir))
	wantStatus(t, err, status.Unimplemented, "vault.loop")
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("unfinished: %v, %v", left, err)
	}
	cfg := config(dir)
	cfg.Fallback = true
	for i := range 3 {
		v := open(t, cfg)
		if v.Kind() != None {
			t.Errorf("kind %s", v.Kind())
		}
		if i > 0 {
			wantFile(t, filepath.Join(v.Path(), "a"), "kept")
		}
		mustWrite(t, filepath.Join(v.Path(), "a"), "kept")
		if _, err := os.Stat(v.dirs.image()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the image: %v", err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// A full disk is no reason to go without.
	cfg.Size = 15 << 40
	_, err = Open(t.Context(), cfg)
	wantStatus(t, err, status.ResourceExhausted, "vault.space")
}

func TestNoMkfs(t *testing.T) {
	path, err := findMkfs()
	if err != nil {
		t.Fatal(err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		t.Fatal(err)
	}
	hide(t, path)
	_, err = Open(t.Context(), config(tempDir(t)))
	if err == nil {
		t.Error("opened without mkfs")
	}
}

// hide covers a file with one that cannot be used, for this process alone.
func hide(t *testing.T, path string) {
	t.Helper()
	over := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(over, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(over, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestPlainBusy(t *testing.T) {
	dir := tempDir(t)
	v := open(t, Config{Dir: dir, Kind: None})
	at := filepath.Join(v.Path(), "pod")
	if err := errors.Join(os.Mkdir(at, 0o700), mountMemory(at, 1<<20)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(at, "a"), "kept")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), config(dir))
	wantStatus(t, err, status.Conflict, "vault.busy")
	wantFile(t, filepath.Join(at, "a"), "kept")
	if err := unix.Unmount(at, 0); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, open(t, config(dir)))
}

func TestNotOurs(t *testing.T) {
	for _, name := range []string{"mnt", "tmp", "images", "mounts", "lock", "private.img"} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			if err := os.Symlink(t.TempDir(), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			v, err := Open(t.Context(), config(dir))
			if err == nil {
				// A link in the place of the image is replaced.
				defer destroy(t, v)
				if name != "private.img" && name != "mnt" {
					t.Error("it was opened through a link")
				}
				if st, err := os.Lstat(filepath.Join(dir, name)); err != nil || st.Mode()&os.ModeSymlink != 0 {
					t.Errorf("%v, %v", st.Mode(), err)
				}
			} else if strings.Contains(err.Error(), "loop") {
				t.Error(err)
			}
		})
	}
}
