package containerd

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

func TestPodsOutliveTheDaemon(t *testing.T) {
	dir := daemonDir(t)
	d := startDaemon(t, dir)
	const id, done, later = "podone-1-0", "podtwo-1-0", "podzzz-1-0"
	created := d.call(command{Op: "up", ID: id, Args: []string{"serve", ":80", "alive", ";", "echo", "begun", ";", "sleep"}}).Created
	d.call(command{Op: "up", ID: done, Args: []string{"exit", "6"}})
	d.call(command{Op: "up", ID: later, Args: []string{"sleep", ";", "exit", "9"}})
	b := bench(t)
	reach := func() bool { got, err := httpGet(t, "http://"+created.IP+"/"); return err == nil && got == "alive" }
	b.Wait("the pod to answer", reach)
	b.Wait("the other to end", func() bool {
		list := d.call(command{Op: "list"}).Instances
		return len(list) == 3 && list[1].Containers[0].ExitCode == 6
	})
	// Two providers on this machine do not notice each other, and their pods
	// cannot either.
	s := b.Spec("sleep")
	b.Up(s)
	if out, code := b.Run(s.ID, "dial", "tcp", created.IP+":80"); code == 0 {
		t.Errorf("a pod reaches one of another provider: %q", out)
	}
	d.kill()
	if !reach() {
		t.Error("the pod ended with its daemon")
	}

	// One ends while no daemon is there.
	group := (&Runtime{names: names{cgroup: d.cgroup}}).cgroup(later)
	for _, pid := range cgroupPIDs(group) {
		if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
	}
	b.Wait("the end", func() bool { return len(cgroupPIDs(group)) == 0 })

	d = startDaemon(t, dir)
	list := d.call(command{Op: "list"}).Instances
	if len(list) == 3 && (list[2].Containers[0].Running || list[2].Containers[0].ExitCode != 9) {
		t.Errorf("one that ended meanwhile: %+v", list[2])
	}
	if len(list) != 3 || list[0].ID != id || !list[0].Containers[0].Running || list[0].IP != created.IP || list[1].Containers[0].ExitCode != 6 {
		t.Errorf("after the restart: %+v", list)
	}
	if a := d.call(command{Op: "exec", ID: id, Args: []string{"echo", "hello"}}); a.Out != "hello\n" || a.Code != 0 {
		t.Errorf("exec after the restart: %+v", a)
	}
	if a := d.call(command{Op: "logs", ID: id}); a.Out != "begun\n" {
		t.Errorf("logs after the restart: %q", a.Out)
	}
	if !reach() {
		t.Error("the restart cut the pod off")
	}
	d.call(command{Op: "remove", ID: id})
	d.call(command{Op: "remove", ID: done})
	d.call(command{Op: "remove", ID: later})
	d.end()
}

func TestKilledWhileCreating(t *testing.T) {
	dir := daemonDir(t)
	d := startDaemon(t, dir)
	d.send(command{Op: "up", ID: "podone-1-0", Args: []string{"sleep"}, Stuck: true})
	if a := d.read(); a.Out != "stuck" {
		t.Fatalf("got %+v", a)
	}
	d.kill()
	// A shim of which containerd knows nothing, as a kill at a bad moment leaves.
	orphan := exec.Command("sh", "-c", "read x", "sh", "-namespace", "p-x", "-id", "c-x", "-address", d.dirs.grpcAddress())
	in, err := orphan.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	d = startDaemon(t, dir)
	var killed *exec.ExitError
	if err := orphan.Wait(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Errorf("an orphaned shim ended with %v", err)
	}
	if list := d.call(command{Op: "list"}).Instances; len(list) != 0 {
		t.Errorf("a half made instance is listed: %+v", list)
	}
	d.end()
}

// TestStorageIsLost takes the data directory away while a pod runs, as a file
// system that broke does: the daemon ends what it does not know any more, and
// makes the same instance again.
func TestStorageIsLost(t *testing.T) {
	dir := daemonDir(t)
	d := startDaemon(t, dir)
	const id = "podone-1-0"
	d.call(command{Op: "up", ID: id, Args: []string{"sleep"}})
	group := (&Runtime{names: names{cgroup: d.cgroup}}).cgroup(id)
	before := cgroupPIDs(group)
	if len(before) == 0 {
		t.Fatal("the instance has no process")
	}
	ranges, err := os.ReadDir(d.dirs.ranges())
	if err != nil || len(ranges) != 1 {
		t.Fatalf("the ranges of user ids: %v, %v", ranges, err)
	}
	d.kill()
	if err := mount.UnmountRecursive(d.dirs.bound(), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(d.dirs.data); err != nil {
		t.Fatal(err)
	}
	d = startDaemon(t, dir)
	if list := d.call(command{Op: "list"}).Instances; len(list) != 0 {
		t.Errorf("an instance is listed: %+v", list)
	}
	if after := cgroupPIDs(group); len(after) != 0 {
		t.Errorf("its processes %v still run", after)
	}
	d.call(command{Op: "up", ID: id, Args: []string{"sleep"}})
	if a := d.call(command{Op: "exec", ID: id, Args: []string{"echo", "hello"}}); a.Out != "hello\n" {
		t.Errorf("made again: %+v", a)
	}
	d.call(command{Op: "remove", ID: id})
	d.end()
}

// TestLastBootIsCleared has bundles of another boot, whose plaintext must not
// stay on a disk.
func TestLastBootIsCleared(t *testing.T) {
	l := layout{data: t.TempDir(), run: t.TempDir()}
	for _, dir := range []string{l.boot(), l.bound()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := bindBoot(l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := UnmountBelow(l.bound()); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(l.state()+"/a/bundle", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.runcRoot(), 0o700); err != nil {
		t.Fatal(err)
	}
	mark := l.boot() + "/id"
	for _, c := range []struct {
		was  string
		want bool
	}{{"", false}, {"another\n", false}, {"this", true}} {
		if err := os.MkdirAll(l.state()+"/a/bundle", 0o700); err != nil {
			t.Fatal(err)
		}
		switch c.was {
		case "":
		case "this":
			// The last round has left the mark of this boot.
		default:
			if err := os.WriteFile(mark, []byte(c.was), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := clearLastBoot(l); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(l.state() + "/a/bundle"); (err == nil) != c.want {
			t.Errorf("boot %q: the bundle is there: %v", c.was, err == nil)
		}
	}
}

// TestKilledAtAnyPoint kills the daemon at many points of making, starting and
// removing an instance; afterwards the instance is either whole or gone, and
// nothing else is left.
func TestKilledAtAnyPoint(t *testing.T) {
	dir := daemonDir(t)
	const id = "podone-1-0"
	for _, after := range []time.Duration{5, 20, 40, 60, 80, 100, 130, 160, 200, 250} {
		d := startDaemon(t, dir)
		d.send(command{Op: "up", ID: id, Args: []string{"sleep"}})
		pause(t, after*time.Millisecond)
		d.kill()
		d = startDaemon(t, dir)
		list := d.call(command{Op: "list"}).Instances
		if len(list) > 1 {
			t.Fatalf("killed after %d ms: %+v", after, list)
		}
		d.send(command{Op: "remove", ID: id})
		pause(t, after/2*time.Millisecond)
		d.kill()
		d = startDaemon(t, dir)
		// Whatever was left, the same instance can be made and removed.
		d.call(command{Op: "up", ID: id, Args: []string{"sleep"}})
		if a := d.call(command{Op: "exec", ID: id, Args: []string{"echo", "hello"}}); a.Out != "hello\n" {
			t.Errorf("killed after %d ms: %+v", after, a)
		}
		d.call(command{Op: "remove", ID: id})
		d.end()
	}
}

func TestOneDaemonPerDirectory(t *testing.T) {
	cfg := shared.cfg
	cfg.RuntimeDir = t.TempDir()
	if len(cfg.RuntimeDir) > maxRuntimeDir {
		cfg.RuntimeDir = "/run/apt-second"
		t.Cleanup(func() { os.RemoveAll(cfg.RuntimeDir) })
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another process uses") {
		t.Errorf("got %v", err)
	}
}

// pause lets a daemon work for a time that decides where it is killed.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
