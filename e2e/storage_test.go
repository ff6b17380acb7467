package e2e

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"apocryph/e2e/harness"
)

// The plaintext that a pod has, each in a place of its own.
const (
	atRestEnv    = "canary-in-the-environment-of-storage"
	atRestLog    = "canary-in-the-log-of-storage"
	atRestVolume = "canary-in-a-volume-of-storage"
	atRestLayer  = "canary-in-the-writable-layer-of-storage"
	atRestSecret = "canary-in-a-secret-of-storage"
	// The path of the program's package, which Go writes into it.
	atRestImage = "apocryph/provider/runtimetest/probe"
)

var atRest = map[string]string{
	"environment": atRestEnv, "log": atRestLog, "volume": atRestVolume, "layer": atRestLayer, "secret": atRestSecret, "image": atRestImage,
}

// deployAtRest deploys a pod that has plaintext everywhere.
func deployAtRest(w *harness.World, p *harness.Provider, pub *harness.Publisher, pol string) (address string) {
	w.Write("token", atRestSecret)
	file := w.Write("vault.yaml", "name: vault\ncontainers:\n  - name: web\n    image: oci:"+w.Probe()+
		"\n    args: [echo, "+atRestLog+", ;, write, /data/file, "+atRestVolume+", ;, write, /layer, "+atRestLayer+", ;, serve, \":8080\", hello, ;, sleep]"+
		"\n    port: 8080\n    resources: {cpu: 100m, memory: 64Mi}\n    env: {GREETING: "+atRestEnv+"}\n"+
		"    volumes: [{name: data, mountPath: /data}, {name: secrets, mountPath: /run/secrets}]\n"+
		"volumes: [{name: data, type: persistent, size: 32Mi}, {name: secrets, type: secret, source: token}]\n")
	return pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol).Last()
}

// onDisk names the plaintext that is found in the files of a data directory,
// images of file systems among them: what is mounted in it is another disk.
func onDisk(t *testing.T, dir string) []string {
	t.Helper()
	unix.Sync()
	var home unix.Stat_t
	if err := unix.Stat(dir, &home); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		var st unix.Stat_t
		if e.IsDir() && unix.Lstat(path, &st) == nil && st.Dev != home.Dev {
			return fs.SkipDir
		}
		if e.Type().IsRegular() {
			return search(path, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// search notes which of the texts a file has.
func search(path string, found map[string]bool) error {
	return pieces(path, func(b []byte) {
		for name, text := range atRest {
			if bytes.Contains(b, []byte(text)) {
				found[name] = true
			}
		}
	})
}

// pieces shows the data of a file, not its holes, in pieces that overlap: the images of
// encrypted file systems are larger than memory. A file that is not there has none.
func pieces(path string, look func([]byte)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	const overlap = 256
	buf := make([]byte, 4<<20)
	for at := int64(0); ; {
		at, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		} else if err != nil {
			return err
		}
		n, err := f.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return err
		}
		look(buf[:n])
		if n <= overlap || err == io.EOF {
			return nil
		}
		at += int64(n - overlap)
	}
}

// TestStorageAtRest has a pod with plaintext in its image, environment, secret,
// log, writable layer and volume, and looks for it in every file of the data
// directory, the raw images of encrypted file systems among them.
func TestStorageAtRest(t *testing.T) {
	for _, tt := range []struct {
		flags []string
		// want is what the disk's owner finds.
		want []string
	}{
		{[]string{"--storage-size", "256Mi"}, nil},
		{[]string{"--storage", "tmpfs", "--storage-size", "256Mi"}, nil},
		// The search finds what is there; secrets are in memory in any case.
		{[]string{"--storage", "none"}, []string{"environment", "image", "layer", "log", "volume"}},
	} {
		t.Run(strings.Join(tt.flags[:2], "="), func(t *testing.T) {
			w := harness.New(t)
			p := w.Provider("provider", tt.flags...)
			pub := w.Publisher("publisher")
			pol := pub.Policy(p)
			look := func(when string) {
				t.Helper()
				if got := onDisk(t, p.Dir); !slices.Equal(got, tt.want) {
					t.Errorf("%s, the disk has %v, want %v", when, got, tt.want)
				}
			}
			address := deployAtRest(w, p, pub, pol)
			answers(t, p, address, "hello")
			look("while it runs")
			before := podPIDs(t, p)
			p.Kill()
			look("after kill -9")
			p.Start()
			answers(t, p, address, "hello")
			if after := podPIDs(t, p); len(before) == 0 || !slices.Equal(before, after) {
				t.Errorf("the pod had the processes %v, it has %v", before, after)
			}
			if out := pub.Must("logs", "vault").Stdout; !strings.Contains(out, atRestLog) {
				t.Errorf("the log of before is gone: %q", out)
			}
			if code := p.Stop(); code != 0 {
				t.Errorf("the provider ended with %d", code)
			}
			look("after the provider stopped")
			p.Start()
			answers(t, p, address, "hello")
			pub.Must("delete", "vault")
			if code := p.Stop(); code != 0 {
				t.Errorf("the provider ended with %d", code)
			}
			if got := onDisk(t, p.Dir); tt.want == nil && got != nil {
				t.Errorf("after the pod was deleted, the disk has %v", got)
			}
			if left, err := filepath.Glob(filepath.Join(p.Dir, "private", "*.img")); err != nil || len(left) > 0 {
				t.Errorf("a provider without pods leaves %v, %v", left, err)
			}
		})
	}
}

// TestRebootRemakesPods takes what a reboot takes: processes, mounts and keys.
// The pod comes back from ciphertext, its volume with what it had.
func TestRebootRemakesPods(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider", "--storage-size", "256Mi")
	pub := w.Publisher("publisher")
	address := deployAtRest(w, p, pub, pub.Policy(p))
	answers(t, p, address, "hello")
	before := podPIDs(t, p)
	volumes, err := filepath.Glob(filepath.Join(p.Dir, "private/mounts/*.data/data"))
	if err != nil || len(volumes) != 1 {
		t.Fatalf("volumes: %v, %v", volumes, err)
	}
	kept := filepath.Join(volumes[0], "kept")
	if err := os.WriteFile(kept, []byte(atRestVolume), 0o644); err != nil {
		t.Fatal(err)
	}
	owner := ownerOf(t, volumes[0])
	reboot(t, p)
	if _, err := os.Stat(kept); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the volume is open without its key: %v", err)
	}
	if got := onDisk(t, p.Dir); got != nil {
		t.Errorf("after the reboot, the disk has %v", got)
	}
	p.Start()
	answers(t, p, address, "hello")
	if after := podPIDs(t, p); len(after) == 0 || slices.Equal(before, after) {
		t.Errorf("the pod had the processes %v, it has %v", before, after)
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != atRestVolume {
		t.Errorf("the volume has %q, %v", b, err)
	}
	if now := ownerOf(t, volumes[0]); now != owner || now == 0 {
		t.Errorf("the volume was owned by %d, now by %d", owner, now)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

// TestStorageFull: what does not fit into the storage is refused with the
// reason, and what runs goes on.
func TestStorageFull(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider", "--storage-size", "96Mi")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	address := pub.Must("deploy", w.Write("small.yaml", app("small", w.Image(0, 1))), "--provider", p.Addr(), "--policy", pol).Last()
	big := w.Write("big.yaml", app("big", w.Image(96<<20, 7)))
	pub.Fails(15, []string{"space"}, "deploy", big, "--provider", p.Addr(), "--policy", pol)
	answers(t, p, address, "hello from small")
	// A volume that is larger than what is left is refused before anything is made.
	large := w.Write("large.yaml", app("large", w.Image(0, 1), "volumes: [{name: v, mountPath: /v}]")+"volumes: [{name: v, type: persistent, size: 1Gi}]\n")
	pub.Fails(15, []string{"volume"}, "deploy", large, "--provider", p.Addr(), "--policy", pol)
	answers(t, p, address, "hello from small")
}

// TestStorageIsClaimed: publishers see how a provider keeps pods, and refuse it
// where they want more.
func TestStorageIsClaimed(t *testing.T) {
	w := harness.New(t)
	open, closed := w.Provider("open", "--storage", "none"), w.Provider("closed", "--storage-size", "64Mi")
	pub := w.Publisher("publisher")
	var openPolicy string
	for p, want := range map[*harness.Provider]bool{open: false, closed: true} {
		pol := pub.Policy(p)
		b, err := os.ReadFile(pol)
		if err != nil {
			t.Fatal(err)
		}
		if !want {
			openPolicy = string(b)
		}
		if got := bytes.Contains(b, []byte("protected: true")); got != want {
			t.Errorf("%s: the policy of what it shows demands protection: %v", p.Dir, got)
		}
		out := pub.Must("attest", p.Addr(), "--policy", pol, "--json").Stdout
		if got := strings.Contains(out, "data at rest is open"); got == want {
			t.Errorf("%s: the verdict warns: %v\n%s", p.Dir, got, out)
		}
	}
	strict := w.Write("strict.yaml", openPolicy+"\nstorage: {protected: true}\n")
	pub.Fails(12, []string{"ATT-170 storage"}, "attest", open.Addr(), "--policy", strict)
}

// reboot ends a provider and all its pods' processes at once, and unmounts
// everything, which takes the keys.
func reboot(t *testing.T, p *harness.Provider) {
	t.Helper()
	p.Kill()
	run := "/run/apocryph/" + strings.ToLower(p.Info.PeerID[len(p.Info.PeerID)-8:])
	pids := append(podPIDs(t, p), shimPIDs(t, run)...)
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		at := strings.Fields(line)[4]
		if strings.HasPrefix(at, p.Dir+"/") || strings.HasPrefix(at, run+"/") {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				t.Fatalf("unmounting %s: %v", at, err)
			}
		}
	}
	harness.Eventually(t, "the devices are gone", func() bool {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		return err == nil && !slices.ContainsFunc(files, func(f string) bool {
			b, err := os.ReadFile(f)
			return err == nil && strings.HasPrefix(string(b), p.Dir+"/")
		})
	})
}

// shimPIDs are the shims of the provider with a runtime directory.
func shimPIDs(t *testing.T, run string) []int {
	t.Helper()
	var pids []int
	for _, pid := range processes(t) {
		b, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if n, convErr := strconv.Atoi(pid); err == nil && convErr == nil && bytes.Contains(b, []byte(run+"/g.sock\x00")) {
			pids = append(pids, n)
		}
	}
	return pids
}

// podPIDs are the processes of a provider's pods: the children of its shims.
func podPIDs(t *testing.T, p *harness.Provider) []int {
	t.Helper()
	var pids []int
	for _, shim := range shimPIDs(t, "/run/apocryph/"+strings.ToLower(p.Info.PeerID[len(p.Info.PeerID)-8:])) {
		files, err := filepath.Glob("/proc/" + strconv.Itoa(shim) + "/task/*/children")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			for _, c := range strings.Fields(string(b)) {
				if n, err := strconv.Atoi(c); err == nil {
					pids = append(pids, n)
				}
			}
		}
	}
	slices.Sort(pids)
	return pids
}
