package vault

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

func wantStatus(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %s %q (%v), want %s %q", status.CodeOf(err), status.ReasonOf(err), err, code, reason)
	}
}

func TestLayout(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	if v.Kind() != FSCrypt || v.Path() != filepath.Join(dir, "mnt", "data") {
		t.Errorf("kind %s at %s", v.Kind(), v.Path())
	}
	modes := map[string]os.FileMode{
		".": 0o711, "lock": 0o600, "tmp": 0o700, "images": 0o700, "mounts": 0o711, "mnt": 0o711, "mnt/data": 0o711, "private.img": 0o600,
	}
	for name, want := range modes {
		if st, err := os.Lstat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, st.Mode(), err, want)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(v.Path(), &st); err != nil {
		t.Fatal(err)
	}
	if want := int64(unix.ST_NODEV | unix.ST_NOSUID); st.Flags&want != want || st.Flags&(unix.ST_NOEXEC|unix.ST_RDONLY) != 0 {
		t.Errorf("mount flags %#x", st.Flags)
	}
	if size := int64(st.Blocks) * st.Bsize; size > testSize || size < testSize*9/10 {
		t.Errorf("the file system has %d bytes", size)
	}
	// Links and what is not a directory are not followed.
	if _, err := policyOf(v.data); err != nil {
		t.Error(err)
	}
}

func TestPolicyIsInherited(t *testing.T) {
	v := open(t, config(tempDir(t)))
	want, err := policyOf(v.data)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(v.Path(), "a/b/c"), "x")
	for _, name := range []string{"a", "a/b", "a/b/c"} {
		f, err := os.Open(filepath.Join(v.Path(), name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := policyOf(f); err != nil || got != want {
			t.Errorf("%s: key %x, %v; want %x", name, got, err, want)
		}
		f.Close()
	}
	// Nothing unencrypted can be moved in.
	out := filepath.Join(filepath.Dir(v.Path()), "plain")
	mustWrite(t, out, "x")
	for _, move := range []func(string, string) error{os.Rename, os.Link} {
		if err := move(out, filepath.Join(v.Path(), "plain")); !errors.Is(err, unix.EXDEV) {
			t.Errorf("moving a plain file in: %v", err)
		}
	}
}

func TestReopen(t *testing.T) {
	for _, kind := range []Kind{FSCrypt, TmpFS, None} {
		t.Run(string(kind), func(t *testing.T) {
			dir := tempDir(t)
			cfg := config(dir)
			cfg.Kind = kind
			if kind == None {
				cfg.Size = 0
			}
			v := open(t, cfg)
			if v.Kind() != kind {
				t.Errorf("kind %s", v.Kind())
			}
			mustWrite(t, filepath.Join(v.Path(), "a/b"), "kept")
			_, err := Open(t.Context(), cfg)
			wantStatus(t, err, status.Conflict, "vault.locked")
			for range 3 {
				if err := v.Close(); err != nil {
					t.Fatal(err)
				}
				v = open(t, cfg)
				wantFile(t, filepath.Join(v.Path(), "a/b"), "kept")
			}
			want := map[Kind]int{FSCrypt: 1}[kind]
			if l := leftLoops(t, dir, want); len(l) != want {
				t.Errorf("attached: %v", l)
			}
			destroy(t, v)
			v = open(t, cfg)
			if left, err := os.ReadDir(v.Path()); err != nil || len(left) != 0 {
				t.Errorf("after Destroy there is %v, %v", left, err)
			}
		})
	}
}

// TestProcessEnds has a provider end by SIGKILL while a pod has a file open.
func TestProcessEnds(t *testing.T) {
	for _, kind := range []Kind{FSCrypt, TmpFS} {
		t.Run(string(kind), func(t *testing.T) {
			dir := tempDir(t)
			cfg := config(dir)
			cfg.Kind = kind
			for range 2 {
				if err := run(t, "open", dirEnv+"="+dir, kindEnv+"="+string(kind)); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("the child was not killed: %v", err)
				}
			}
			v := open(t, cfg)
			wantFile(t, filepath.Join(v.Path(), "from-child"), passed)
		})
	}
}

// TestKilledAt has a provider end by SIGKILL at every step, and another follow.
func TestKilledAt(t *testing.T) {
	steps := []string{"mkfs", "made", "image", "attached", "aside", "directory", "key", "policy", "mounted"}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			dir := tempDir(t)
			if err := run(t, "open", dirEnv+"="+dir, stepEnv+"="+step); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the child was not killed: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "mnt/data/from-child")); err == nil {
				t.Fatal("the child went past the step")
			}
			v := open(t, config(dir))
			wantWhole(t, v)
		})
	}
}

// TestKilledClearing has it end while it clears what has lost its key.
func TestKilledClearing(t *testing.T) {
	for _, step := range []string{"dropped", "detached", "image", "aside", "policy", "mounted"} {
		t.Run(step, func(t *testing.T) {
			dir := tempDir(t)
			v := open(t, config(dir))
			mustWrite(t, filepath.Join(v.Path(), "old"), "old")
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			dropKey(v.Path())
			if err := run(t, "open", dirEnv+"="+dir, stepEnv+"="+step); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the child was not killed: %v", err)
			}
			v = open(t, config(dir))
			if _, err := os.Stat(filepath.Join(v.Path(), "old")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the old file: %v", err)
			}
			wantWhole(t, v)
		})
	}
}

// wantWhole looks at a vault that was opened after a crash: it works, and there
// is one mount, one device and no other image.
func wantWhole(t *testing.T, v *Vault) {
	t.Helper()
	mustWrite(t, filepath.Join(v.Path(), "works"), "yes")
	wantFile(t, filepath.Join(v.Path(), "works"), "yes")
	if _, err := policyOf(v.data); err != nil {
		t.Error(err)
	}
	if m := leftMounts(t, v.dirs.dir); len(m) != 1 {
		t.Errorf("mounted: %v", m)
	}
	if l := leftLoops(t, v.dirs.dir, 1); len(l) != 1 || l[0] != v.dirs.image() {
		t.Errorf("attached: %v", l)
	}
	if left, err := os.ReadDir(v.dirs.tmp()); err != nil || len(left) != 0 {
		t.Errorf("unfinished: %v, %v", left, err)
	}
}

func TestReboot(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	before, err := policyOf(v.data)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(v.Path(), "old"), "old")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	reboot(t, dir)
	v = open(t, config(dir))
	if _, err := os.Stat(filepath.Join(v.Path(), "old")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file: %v", err)
	}
	if after, err := policyOf(v.data); err != nil || after == before {
		t.Errorf("the key %x is used again, %v", after, err)
	}
	wantWhole(t, v)
}

// TestUnmountedUnderPods has somebody unmount the storage while a pod uses it:
// the kernel keeps file system and key, and so it is found again.
func TestUnmountedUnderPods(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	pod := filepath.Join(v.Path(), "pod")
	mustWrite(t, pod, "running")
	f, err := os.Open(pod)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(v.Close(), unix.Unmount(v.dirs.mount(), unix.MNT_DETACH)); err != nil {
		t.Fatal(err)
	}
	v = open(t, config(dir))
	wantFile(t, pod, "running")
	wantWhole(t, v)
	wantStatus(t, v.Destroy(t.Context()), status.OK, "")
}

// TestClearedUnderPods has the key go while a pod holds a file: the old image
// stays with the pod and goes with it, and a new one is made.
func TestClearedUnderPods(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	mustWrite(t, filepath.Join(v.Path(), "pod"), "running")
	f, err := os.Open(filepath.Join(v.Path(), "pod"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	dropKey(v.Path())
	v = open(t, config(dir))
	mustWrite(t, filepath.Join(v.Path(), "works"), "yes")
	if l := leftLoops(t, dir, 2); len(l) != 2 {
		t.Errorf("attached: %v", l)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, v)
}

// TestClearedKey has storage be cleared while a pod holds it: what the pod did
// not open before, it cannot read.
func TestClearedKey(t *testing.T) {
	dir := tempDir(t)
	v := open(t, config(dir))
	mustWrite(t, filepath.Join(v.Path(), "pod/a"), "secret")
	pod, err := openDirectory(filepath.Join(v.Path(), "pod"))
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir, Kind: TmpFS, Size: testSize})
	if fd, err := unix.Openat(int(pod.Fd()), "a", unix.O_RDONLY, 0); err == nil {
		t.Error("the file is read", unix.Close(fd))
	}
}

func TestDestroyBusy(t *testing.T) {
	v := open(t, config(tempDir(t)))
	path := filepath.Join(v.Path(), "pod")
	mustWrite(t, path, "running")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, v.Destroy(t.Context()), status.Conflict, "vault.busy")
	wantFile(t, path, "running")
	if err := errors.Join(f.Close(), v.Destroy(t.Context())); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, v.Destroy(t.Context()), status.Unavailable, "vault.closed")
	wantStatus(t, v.Grow(t.Context(), testSize), status.Unavailable, "vault.closed")
	_, err = v.Volume(t.Context(), "vol", testKey(1), testSize)
	wantStatus(t, err, status.Unavailable, "vault.closed")
}

// TestTampered has the disk's owner offer other file systems in our place.
func TestTampered(t *testing.T) {
	tests := []struct {
		name   string
		tamper func(t *testing.T, l layout)
		left   int
	}{
		{"no encryption", func(t *testing.T, l layout) {
			data := filepath.Join(l.mount(), dataDir)
			if err := errors.Join(os.RemoveAll(data), os.Mkdir(data, 0o711)); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"a link", func(t *testing.T, l layout) {
			data := filepath.Join(l.mount(), dataDir)
			if err := errors.Join(os.RemoveAll(data), os.Symlink("/tmp", data)); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"another mount", func(t *testing.T, l layout) {
			if err := mountMemory(l.mount(), 1<<20); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, filepath.Join(l.mount(), dataDir, "bait"), "x")
		}, 1},
		{"another image", func(t *testing.T, l layout) {
			if err := os.Remove(l.image()); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, l.image(), "x")
		}, 0},
		{"read-only after an error", func(t *testing.T, l layout) {
			if err := unix.Mount("", l.mount(), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tempDir(t)
			v := open(t, config(dir))
			mustWrite(t, filepath.Join(v.Path(), "old"), "old")
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			tt.tamper(t, v.dirs)
			v = open(t, config(dir))
			if left, err := os.ReadDir(v.Path()); err != nil || len(left) != tt.left {
				t.Errorf("there is %v, %v", left, err)
			}
			wantWhole(t, v)
		})
	}
}

func TestTwoProviders(t *testing.T) {
	a, b := tempDir(t), tempDir(t)
	one := open(t, config(a))
	mustWrite(t, filepath.Join(one.Path(), "mine"), "one")
	// The other is opened, killed, rebooted and destroyed meanwhile.
	if err := run(t, "open", dirEnv+"="+b, stepEnv+"=attached"); err == nil {
		t.Fatal("the child was not killed")
	}
	two := open(t, config(b))
	mustWrite(t, filepath.Join(two.Path(), "mine"), "two")
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	reboot(t, b)
	two = open(t, config(b))
	done := make(chan error, 1)
	go func() { done <- one.Close() }()
	_, err := two.Volume(t.Context(), "vol", testKey(1), testSize)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	one = open(t, config(a))
	wantFile(t, filepath.Join(one.Path(), "mine"), "one")
	destroy(t, two)
	wantFile(t, filepath.Join(one.Path(), "mine"), "one")
}

func TestConfig(t *testing.T) {
	ok := Config{Dir: "/x/y"}
	tests := map[string]struct {
		change func(*Config)
		fields []string
	}{
		"fine":            {func(*Config) {}, nil},
		"no directory":    {func(c *Config) { c.Dir = "" }, []string{"dir"}},
		"relative":        {func(c *Config) { c.Dir = "x" }, []string{"dir"}},
		"unclean":         {func(c *Config) { c.Dir = "/x/../y" }, []string{"dir"}},
		"comma":           {func(c *Config) { c.Dir = "/x,y" }, []string{"dir"}},
		"blank":           {func(c *Config) { c.Dir = "/x y" }, []string{"dir"}},
		"kind":            {func(c *Config) { c.Kind = "luks" }, []string{"kind"}},
		"negative":        {func(c *Config) { c.Size = -1 }, []string{"size"}},
		"too small":       {func(c *Config) { c.Size = minSize - 1 }, []string{"size"}},
		"too large":       {func(c *Config) { c.Size = maxSize + 1 }, []string{"size"}},
		"memory, no size": {func(c *Config) { c.Kind = TmpFS }, []string{"size"}},
		"memory fallback": {func(c *Config) { c.Kind, c.Size, c.Fallback = TmpFS, 1<<20, true }, []string{"fallback"}},
		"plain reserve":   {func(c *Config) { c.Kind, c.Reserve = None, true }, []string{"reserve"}},
		"all":             {func(c *Config) { *c = Config{Kind: "x", Size: -1} }, []string{"dir", "kind", "size"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := ok
			tt.change(&c)
			err := c.check()
			var got []string
			var e *status.Error
			if errors.As(err, &e) {
				for _, f := range e.Faults {
					got = append(got, f.Field)
				}
			}
			if strings.Join(got, " ") != strings.Join(tt.fields, " ") {
				t.Errorf("faults %v, want %v (%v)", got, tt.fields, err)
			}
		})
	}
	_, err := Open(t.Context(), Config{})
	wantStatus(t, err, status.InvalidArgument, "vault.config")
}

func TestCanceled(t *testing.T) {
	dir := tempDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := config(dir)
	cfg.step = func(name string) {
		if name == "mkfs" {
			cancel()
		}
	}
	if v, err := Open(ctx, cfg); err == nil {
		// It may be faster than the signal.
		destroy(t, v)
	} else if status.CodeOf(err) != status.Canceled {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("unfinished: %v, %v", left, err)
	}
}

// TestAbandon has files open, which live until they are closed; nothing else does.
func TestAbandon(t *testing.T) {
	dir := tempDir(t)
	v, err := Open(t.Context(), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(v.Path(), "a")
	mustWrite(t, path, "text")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, v.Destroy(t.Context()), status.Conflict, "vault.busy")
	if err := v.Abandon(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := leftMounts(t, dir); len(m) > 0 {
		t.Errorf("mounted: %v", m)
	}
	for _, gone := range []string{path, v.dirs.image()} {
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if l := leftLoops(t, dir, 0); l != nil {
		t.Errorf("still attached: %v", l)
	}
	if err := v.Abandon(t.Context()); status.ReasonOf(err) != "vault.closed" {
		t.Errorf("a second time: %v", err)
	}
}
