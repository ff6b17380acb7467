package build

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest/detect"
)

const (
	// childTrees names the directory of a builder of [TestI6SameDigest], childUmask its
	// umask in octal.
	childTrees = "APOCRYPH_TEST_TREES"
	childUmask = "APOCRYPH_TEST_UMASK"
)

// sources are a request in each runtime. Their commands leave what is in the
// directory "left".
func sources(t testing.TB) map[string]Request {
	out := map[string]Request{
		"static": {Runtime: Static, FS: site(), Platform: amd64}, "binary": {Runtime: Binary, FS: app(), Platform: amd64},
		"go": {Runtime: Go, FS: fstest.MapFS{"go.mod": {}, "main.go": {}}, Plan: &detect.Plan{Runtime: detect.Go, Entry: "."}, Platform: amd64},
		"dockerfile": {
			Runtime: Dockerfile, FS: fstest.MapFS{"d/Dockerfile": {Data: []byte("FROM scratch\nCOPY . /\n")}}, Plan: &detect.Plan{Runtime: detect.Dockerfile, Entry: "d/Dockerfile"}, Platform: amd64,
		},
	}
	for name, r := range requests(t) {
		out[name] = r.req
	}
	return out
}

// TestI6SameDigest: the same trees give the same images in a process of another user
// with another umask, locale and time zone, in other directories with files of other
// times and owners that were written in another order.
func TestI6SameDigest(t *testing.T) {
	left := map[string]map[string][]byte{
		"go": {"main": goProgram(t)}, "dockerfile": {"image.tar": ociArchive(t, "application/vnd.oci.image.layer.v1.tar")},
	}
	for name, r := range requests(t) {
		left[name] = r.left
	}
	all := sources(t)
	program, err := os.ReadFile(os.Args[0])
	must(t, err)
	var first map[string]string
	for i, tt := range []struct {
		umask int
		uid   uint32
		env   []string
	}{
		{0o022, 0, []string{"LC_ALL=C", "TZ=UTC"}},
		{0o077, 64321, []string{"LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8", "LANGUAGE=tr", "TZ=Pacific/Kiritimati"}},
		{0o027, 1234, []string{"LC_ALL=de_DE@euro", "LC_COLLATE=en_US.UTF-8", "TZ=America/St_Johns"}},
	} {
		// Not below the test's own directory, which nobody else may enter.
		dir, err := os.MkdirTemp("", "same")
		must(t, err)
		t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
		must(t, os.Chmod(dir, 0o711))
		old := syscall.Umask(tt.umask)
		for name, req := range all {
			writeTree(t, filepath.Join(dir, "trees", name), req.FS.(fstest.MapFS), i)
			must(t, os.MkdirAll(filepath.Join(dir, "left", name), 0o700))
			for file, data := range left[name] {
				must(t, os.WriteFile(filepath.Join(dir, "left", name, file), data, 0o600))
			}
		}
		syscall.Umask(old)
		must(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "builder"), program, 0o755))
		if os.Geteuid() == 0 {
			must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Lchown(path, int(tt.uid), int(tt.uid)+i)
			}))
		}
		got := inChild(t, dir, tt.uid, append(tt.env, childTrees+"="+dir, childUmask+"="+strconv.FormatInt(int64(tt.umask), 8)))
		if len(got) != len(all) {
			t.Fatalf("got images of %v", slices.Sorted(maps.Keys(got)))
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("with umask %o, uid %d and %q:\n%s", tt.umask, tt.uid, tt.env, diff)
		}
	}
}

// writeTree writes files; every second time backwards, and each time at another one.
func writeTree(t *testing.T, dir string, tree fstest.MapFS, run int) {
	t.Helper()
	names := slices.Sorted(maps.Keys(tree))
	if run%2 == 1 {
		slices.Reverse(names)
	}
	for _, f := range names {
		path, file := filepath.Join(dir, f), tree[f]
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		if file.Mode&fs.ModeSymlink != 0 {
			must(t, os.Symlink(string(file.Data), path))
			continue
		}
		must(t, os.WriteFile(path, file.Data, 0o666|file.Mode&0o100|file.Mode&0o100>>3))
		must(t, os.Chtimes(path, time.Unix(int64(run)*1e8, 0), time.Unix(int64(run)*1e8, 5)))
	}
}

// inChild runs [TestI6Child] as a user, and returns the digests of its images. Who is
// not root has but one user.
func inChild(t *testing.T, dir string, uid uint32, env []string) (out map[string]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "builder"), "-test.run=^TestI6Child$")
	cmd.Dir = filepath.Join(dir, "tmp")
	cmd.Env = append(env, "HOME="+cmd.Dir, "TMPDIR="+cmd.Dir, "PATH=/usr/bin:/bin")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid + 1}}
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("uid %d: %v\n%s", uid, err, text)
	}
	data, err := os.ReadFile(filepath.Join(cmd.Dir, "digests.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &out))
	return out
}

// TestI6Child is the other process of [TestI6SameDigest], and alone does nothing.
func TestI6Child(t *testing.T) {
	dir := os.Getenv(childTrees)
	if dir == "" {
		return
	}
	umask, err := strconv.ParseInt(os.Getenv(childUmask), 8, 32)
	must(t, err)
	syscall.Umask(int(umask))
	digests := map[string]string{}
	for name, req := range sources(t) {
		r := &runner{leave: func(j Job) error { return os.CopyFS(j.Output, os.DirFS(filepath.Join(dir, "left", name))) }}
		req.FS = os.DirFS(filepath.Join(dir, "trees", name))
		digests[name] = build(t, langBuilder(t, r), req).Image.Digest
	}
	data, err := json.Marshal(digests)
	must(t, err)
	must(t, os.WriteFile("digests.json", data, 0o600))
}
