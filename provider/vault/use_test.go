package vault

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// firstUID is where the users of a pod begin.
const firstUID = 100_000

// TestOverlay has an overlay with all its directories in the vault, as the root
// file system of a pod has.
func TestOverlay(t *testing.T) {
	v := open(t, config(tempDir(t)))
	p := func(name string) string { return filepath.Join(v.Path(), name) }
	mustWrite(t, p("lower/etc/conf"), "from the image")
	mustWrite(t, p("lower/etc/gone"), "x")
	mustWrite(t, p("lower/dir/a"), "x")
	for _, d := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(p(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	over(t, p("lower"), p("upper"), p("work"), p("merged"))
	exerciseOverlay(t, p("merged"))
	// Whiteouts and opaque directories are what the upper layer has.
	var st unix.Stat_t
	if err := unix.Lstat(p("upper/etc/gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("the whiteout: mode %o, device %d, %v", st.Mode, st.Rdev, err)
	}
	wantFile(t, p("upper/etc/conf"), "changed")
	wantFile(t, p("lower/etc/conf"), "from the image")
}

func over(t *testing.T, lower, upper, work, merged string) {
	t.Helper()
	opts := "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", merged, "overlay", 0, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
	})
}

func exerciseOverlay(t *testing.T, merged string) {
	t.Helper()
	p := func(name string) string { return filepath.Join(merged, name) }
	err := errors.Join(
		os.WriteFile(p("etc/conf"), []byte("changed"), 0o644),
		os.Remove(p("etc/gone")),
		os.RemoveAll(p("dir")),
		os.Mkdir(p("dir"), 0o755),
		os.WriteFile(p("new"), []byte("new"), 0o600),
		os.Rename(p("new"), p("dir/newer")))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, p("etc/conf"), "changed")
	wantFile(t, p("dir/newer"), "new")
	if left, err := os.ReadDir(p("dir")); err != nil || len(left) != 1 {
		t.Errorf("the directory that was made anew has %v, %v", left, err)
	}
	if _, err := os.Stat(p("etc/gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a removed file: %v", err)
	}
}

// TestUserNamespace has the users of a pod reach its files, through an overlay
// of layers that are root's and are mounted with their users mapped.
func TestUserNamespace(t *testing.T) {
	v := open(t, config(tempDir(t)))
	p := func(name string) string { return filepath.Join(v.Path(), name) }
	mustWrite(t, p("lower/etc/conf"), "from the image")
	mustWrite(t, p("lower/etc/gone"), "x")
	mustWrite(t, p("lower/dir/a"), "x")
	for _, d := range []string{"mapped", "fs", "fs/upper", "fs/work", "merged"} {
		if err := os.Mkdir(p(d), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	mapUsers(t, p("lower"), p("mapped"))
	if err := errors.Join(os.Lchown(p("fs/upper"), firstUID, firstUID), os.Lchown(p("fs/work"), firstUID, firstUID)); err != nil {
		t.Fatal(err)
	}
	over(t, p("mapped"), p("fs/upper"), p("fs/work"), p("merged"))
	exerciseOverlay(t, p("merged"))
	var st unix.Stat_t
	if err := unix.Stat(p("merged/etc/conf"), &st); err != nil || st.Uid != firstUID {
		t.Errorf("the image's file is owned by %d, %v", st.Uid, err)
	}
	// A user that is nobody here passes through every directory on the way, and
	// sees what is in none of them.
	secret := p("merged/mine")
	if err := errors.Join(os.WriteFile(secret, []byte(passed), 0o600), os.Chown(secret, firstUID, firstUID)); err != nil {
		t.Fatal(err)
	}
	if err := asUser(t, firstUID, secret); err != nil {
		t.Errorf("the pod's root: %v", err)
	}
	if err := asUser(t, firstUID+1, secret); err == nil {
		t.Error("another user read it")
	}
	vol := volume(t, v, "vol", testKey(1), testSize)
	mustWrite(t, filepath.Join(vol.Path, "a"), passed)
	if err := asUser(t, firstUID+5, filepath.Join(vol.Path, "a")); err != nil {
		t.Errorf("a pod's user at a volume: %v", err)
	}
	if err := asUser(t, firstUID, v.dirs.image()); err == nil {
		t.Error("a pod's user read the image")
	}
}

// asUser reads a file in a process of a user in a user namespace of a pod.
func asUser(t *testing.T, uid uint32, path string) error {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=read", dirEnv+"="+path)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = podUsers()
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid - firstUID, Gid: uid - firstUID, NoSetGroups: true}
	err := cmd.Run()
	if err != nil {
		t.Logf("uid %d: %s", uid, strings.TrimSpace(out.String()))
	}
	return err
}

func podUsers() *syscall.SysProcAttr {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: firstUID, Size: 65536}}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
}

// mapUsers mounts a directory elsewhere, with root's files being the pod's.
func mapUsers(t *testing.T, from, to string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = podUsers()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/user")
	if err := errors.Join(err, in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		t.Fatal(err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(to, 0); err != nil {
			t.Error(err)
		}
	})
}

// TestFileSystem has what databases and runtimes ask of a file system.
func TestFileSystem(t *testing.T) {
	v := open(t, config(tempDir(t)))
	for _, dir := range []string{v.Path(), volume(t, v, "vol", testKey(1), testSize).Path} {
		p := func(name string) string { return filepath.Join(dir, name) }
		f, err := os.OpenFile(p("a.new"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString("whole")
		err = errors.Join(err, f.Sync(), os.Rename(p("a.new"), p("a")), syncDir(dir),
			unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB),
			unix.Fallocate(int(f.Fd()), 0, 0, 1<<20),
			unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1<<19, 1<<19),
			unix.Setxattr(p("a"), "trusted.x", []byte("y"), 0),
			unix.Mkfifo(p("fifo"), 0o600),
			unix.Mknod(p("whiteout"), unix.S_IFCHR, 0),
			os.Link(p("a"), p("linked")),
			os.WriteFile(p("b"), []byte("b"), 0o600),
			unix.Renameat2(unix.AT_FDCWD, p("a"), unix.AT_FDCWD, p("b"), unix.RENAME_EXCHANGE),
			f.Close())
		if err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		wantFile(t, p("a"), "b")
		// Names may be as long as anywhere, and have any character but two.
		long := strings.Repeat("\xff", 255)
		mustWrite(t, p(long), "long")
		d, err := os.ReadDir(dir)
		if err != nil || d[len(d)-1].Name() != long {
			t.Errorf("%s: the long name is not listed, %v", dir, err)
		}
		if err := os.WriteFile(p(long+"x"), nil, 0o600); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("%s: a name that is too long: %v", dir, err)
		}
		script := p("script")
		if err := os.WriteFile(script, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := exec.CommandContext(t.Context(), script).Run(); err != nil {
			t.Errorf("%s: running a program: %v", dir, err)
		}
		// A device that a pod makes opens nothing.
		if err := unix.Mknod(p("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		if f, err := os.Open(p("null")); !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: opening a device: %v, %v", dir, f, err)
		}
	}
}

// TestDiscard has the space of deleted files come back to the disk.
func TestDiscard(t *testing.T) {
	v := open(t, config(tempDir(t)))
	used := func() int64 {
		unix.Sync()
		var st unix.Stat_t
		if err := unix.Stat(v.dirs.image(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	before := used()
	big := filepath.Join(v.Path(), "big")
	f, err := os.Create(big)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, zeroes{}, testSize/2)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if full := used(); full < before+testSize/2 {
		t.Errorf("%d bytes with the file, %d before", full, before)
	}
	if err := os.Remove(big); err != nil {
		t.Fatal(err)
	}
	if after := used(); after > before+testSize/8 {
		t.Errorf("%d bytes after it was deleted, %d before", after, before)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
