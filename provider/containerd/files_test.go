package containerd

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider/runtimetest"
)

func uidOf(st fs.FileInfo) uint32 { return st.Sys().(*syscall.Stat_t).Uid }

func TestImageUser(t *testing.T) {
	passwd := []byte("root:x:0:0::/:/x\napp:x:1001:1002::/home/app:/x\n")
	group := []byte("app:x:1002:\nweb:x:1003:app\n")
	accounts := []runtimetest.File{{Name: "etc/passwd", Mode: 0o644, Data: passwd}, {Name: "etc/group", Mode: 0o644, Data: group}}
	for _, c := range []struct {
		name, user string
		files      []runtimetest.File
		want       string
		code       status.Code
	}{
		{"none", "", accounts, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0", 0},
		{"by name", "app", accounts, "Uid:\t1001\t1001\t1001\t1001\nGid:\t1002\t1002\t1002\t1002", 0},
		{"by number", "1001", accounts, "Uid:\t1001\t1001\t1001\t1001\nGid:\t1002\t1002\t1002\t1002", 0},
		{"and group", "app:web", accounts, "Uid:\t1001\t1001\t1001\t1001\nGid:\t1003\t1003\t1003\t1003", 0},
		{"not listed", "4000:5000", nil, "Uid:\t4000\t4000\t4000\t4000\nGid:\t5000\t5000\t5000\t5000", 0},
		{"unknown name", "nobody", accounts, "", status.InvalidArgument},
		{"name without accounts", "app", nil, "", status.InvalidArgument},
		{"too large", "70000", accounts, "", status.InvalidArgument},
		{"accounts are a pipe", "app", []runtimetest.File{{Name: "etc/passwd", Mode: 0o644, Type: tar.TypeFifo}}, "", status.InvalidArgument},
		{"accounts are a link out", "root1", []runtimetest.File{{Name: "etc/passwd", Link: "../../../../../../etc/passwd"}}, "", status.InvalidArgument},
		{"accounts are the host's", "daemon", []runtimetest.File{{Name: "etc/passwd", Link: "/proc/self/root/etc/passwd"}}, "", status.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bench(t)
			s := b.Spec("proc", ";", "sleep")
			img := runtimetest.Image{Config: ocispec.ImageConfig{Entrypoint: []string{runtimetest.Probe}, User: c.user}}
			if c.files != nil {
				img.Layers = [][]runtimetest.File{c.files}
			}
			s.Containers[0].Image, s.Containers[0].Key = runtimetest.Build(t, img)
			if c.code != status.OK {
				if _, err := b.Runtime.Create(t.Context(), s, nil); status.CodeOf(err) != c.code {
					t.Errorf("got %v, want %v", err, c.code)
				}
				return
			}
			b.Up(s)
			b.Wait("the report", func() bool { return strings.Contains(b.Text(s.ID), "Gid:") })
			if got := b.Text(s.ID); !strings.Contains(got, c.want) {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestVolumesOnTheHost(t *testing.T) {
	b := bench(t)
	s := b.Spec("sleep")
	s.Volumes = []manifest.Volume{{Name: "tls", Kind: manifest.Secret}, {Name: "data", Kind: manifest.Persistent}}
	canary := []byte("canary-in-a-secret-volume")
	s.Secrets = map[string]map[string][]byte{"tls": {"key": canary}}
	s.Containers[0].Mounts = []manifest.Mount{{Volume: "data", Path: "/data"}, {Volume: "tls", Path: "/data/tls"}}
	s.Containers[0].Image, s.Containers[0].Key = runtimetest.Build(t, runtimetest.Image{
		Config: ocispec.ImageConfig{Entrypoint: []string{runtimetest.Probe}, User: "1001:1001"},
	})
	b.Up(s)
	out, code := b.Run(s.ID, "cat", "/data/tls/key", ";", "stat", "/data/tls", "/data/tls/key", "/data", ";", "write", "/data/f", "x")
	want := string(canary) + "\n/data/tls dr-x------ 1001 1001\n/data/tls/key -r-------- 1001 1001\n/data dtrwxrwxrwx 0 0"
	if out != want || code != 0 {
		t.Errorf("got %q, %d", out, code)
	}
	rec, err := shared.get(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(string(shared.cfg.Volumes.(dirVolumes)), volumeName(s.Pod, "data"), "f"))
	if err != nil || uidOf(st) != rec.UIDs+1001 {
		t.Errorf("the file on the host: %v, %v", st, err)
	}
	// Neither the secret nor the image's key is on disk.
	b.Gone(s)
	for name, needle := range map[string][]byte{"secret": canary, "key": s.Containers[0].Key[len(s.Containers[0].Key)-32:]} {
		for _, found := range grep(t, shared.dirs.data, needle) {
			t.Errorf("the %s is in %s", name, found)
		}
	}
	// The next revision has the same range of user ids, and so the same files.
	next := s
	next.ID = s.ID[:len(s.ID)-4] + "-2-0"
	b.Up(next)
	if rec2, err := shared.get(next.ID); err != nil || rec2.UIDs != rec.UIDs {
		t.Errorf("the next revision has the range %v, %v", rec2, err)
	}
	if out, code := b.Run(next.ID, "stat", "/data/f"); out != "/data/f -rw-r--r-- 1001 1001" || code != 0 {
		t.Errorf("it sees %q, %d", out, code)
	}
}

// grep names the files below dir that hold needle.
func grep(t *testing.T, dir string, needle []byte) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, needle) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestOtherUsersMayPass(t *testing.T) {
	for dir, want := range map[string]fs.FileMode{
		shared.dirs.data: 0o711, shared.dirs.run: 0o711, shared.dirs.root(): 0o700, shared.dirs.bin(): 0o700, shared.dirs.fifos(): 0o700,
	} {
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", dir, st.Mode(), err, want)
		}
	}
}
