package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

func TestMemoryHogIsKilled(t *testing.T) {
	b := bench(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	exits := make(chan provider.Exit, 64)
	watching := make(chan error, 1)
	go func() { watching <- b.Watch(ctx, func(e provider.Exit) { exits <- e }) }()

	s := b.Spec("eat", strconv.Itoa(256<<20))
	s.Containers[0].Resources.MemoryBytes = 32 << 20
	b.Up(s)
	st := b.Stopped(s.ID, "main")
	if st.ExitCode != 137 || !st.OOMKilled {
		t.Errorf("got %+v, want killed for memory", st)
	}
	for {
		select {
		case e := <-exits:
			if e.Instance != s.ID {
				continue
			}
			if e.Code != 137 || !e.OOMKilled {
				t.Errorf("reported %+v", e)
			}
		case <-time.After(10 * time.Second):
			t.Error("the end was not reported")
		}
		break
	}
	cancel()
	<-watching

	modest := b.Spec("eat", strconv.Itoa(8<<20))
	modest.Containers[0].Resources.MemoryBytes = 64 << 20
	if out, code := b.Output(modest); code != 0 || out != "ate 8 MiB\n" {
		t.Errorf("a modest container: %q, %d", out, code)
	}
	if st := b.Stopped(modest.ID, "main"); st.OOMKilled {
		t.Errorf("a modest container: %+v", st)
	}
}

func TestForkBombIsContained(t *testing.T) {
	b := bench(t)
	s := b.Spec("fork", "1000", ";", "sleep")
	s.Containers[0].Resources.PIDs = 40
	b.Up(s)
	b.Wait("the bomb", func() bool { return strings.Contains(b.Text(s.ID), "forked") })
	var n int
	if _, err := fmt.Sscanf(b.Text(s.ID), "forked %d then", &n); err != nil || n == 0 || n >= 40 {
		t.Errorf("got %q", b.Text(s.ID))
	}
	// All of it goes with the instance.
	group := shared.cgroup(s.ID)
	if got := len(cgroupPIDs(group)); got < n {
		t.Fatalf("the cgroup has %d processes, want at least %d", got, n)
	}
	b.Gone(s)
	if got := cgroupPIDs(group); len(got) != 0 {
		t.Errorf("processes %v are left", got)
	}
}

func TestProcessorQuota(t *testing.T) {
	b := bench(t)
	s := b.Spec("burn", "2s")
	s.Containers[0].Resources.CPUMillis = 200
	out, _ := b.Output(s)
	var ms int
	// 200 ms each second; start-up and the last period are allowed for.
	if _, err := fmt.Sscanf(out, "burnt %d", &ms); err != nil || ms == 0 || ms > 700 {
		t.Errorf("got %q of 2 s, want about 400", out)
	}
}

func TestPrivileges(t *testing.T) {
	b := bench(t)
	s := b.Spec("proc", ";", "sleep")
	b.Up(s)
	b.Wait("the report", func() bool { return strings.Contains(b.Text(s.ID), "/proc/sys") })
	text := b.Text(s.ID)
	var rec *record
	if r, err := shared.get(s.ID); err != nil {
		t.Fatal(err)
	} else {
		rec = r
	}
	for _, want := range []string{
		`(?m)^Seccomp:\s+2$`,
		`(?m)^NoNewPrivs:\s+1$`,
		// The ten of capabilities: bits 0, 1, 3 to 8, 10 and 31.
		`(?m)^CapBnd:\s+00000000800005fb$`,
		`(?m)^CapEff:\s+00000000800005fb$`,
		`(?m)^CapInh:\s+0000000000000000$`,
		`(?m)^CapAmb:\s+0000000000000000$`,
		fmt.Sprintf(`(?m)^\s+0\s+%d\s+65536$`, rec.UIDs),
		`(?m)^Max core file size\s+0\s+0`,
		`(?m)^proc /proc/sys proc ro`,
		`(?m)^sysfs /sys sysfs ro`,
		`(?m)^\S+ /etc/resolv.conf \S+ ro`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no match for %s in:\n%s", want, text)
		}
	}
	if rec.UIDs < firstUID {
		t.Errorf("root of the container is user %d of the host", rec.UIDs)
	}
	// On the host its processes are not root.
	for _, pid := range cgroupPIDs(shared.cgroup(s.ID)) {
		st, err := os.Stat("/proc/" + strconv.Itoa(pid))
		if err != nil {
			continue
		}
		if uid := uidOf(st); uid < firstUID {
			t.Errorf("process %d runs as user %d", pid, uid)
		}
		score, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/oom_score_adj")
		if err != nil || strings.TrimSpace(string(score)) != strconv.Itoa(oomScore) {
			t.Errorf("process %d has the score %q: %v", pid, score, err)
		}
	}
	for _, cmd := range [][]string{
		{"write", "/proc/sys/kernel/hostname", "x"},
		{"write", "/proc/sysrq-trigger", "h"},
		{"write", "/sys/kernel/uevent_helper", "/x"},
		{"write", "/etc/hosts", "x"},
		{"cat", "/dev/mem"},
		{"cat", "/proc/kcore"},
	} {
		if out, code := b.Run(s.ID, cmd...); code == 0 && strings.TrimSpace(out) != "" {
			t.Errorf("%v worked: %.100q", cmd, out)
		} else if code == 0 && cmd[0] == "write" {
			t.Errorf("%v worked", cmd)
		}
	}
}

func TestLogFloodIsBounded(t *testing.T) {
	b := bench(t)
	s := b.Spec("flood", "6s", ";", "echo", "the end")
	s.Containers[0].Resources.CPUMillis = 2000
	b.Up(s)
	b.Stopped(s.ID, "main")
	b.Wait("the last line", func() bool {
		last := b.Logs(provider.LogQuery{Instance: s.ID, Tail: 1})
		return len(last) == 1 && string(last[0].Text) == "the end"
	})
	files, err := os.ReadDir(shared.dirs.logs(s.ID))
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, f := range files {
		st, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += st.Size()
	}
	if len(files) != attendant.LogFiles || total > attendant.LogFiles*attendant.MaxLogFile {
		t.Errorf("%d bytes of logs in %d files", total, len(files))
	}
}

func TestLongLines(t *testing.T) {
	b := bench(t)
	s := b.Spec("bigline", "100000", ";", "echo", "next")
	b.Up(s)
	b.Stopped(s.ID, "main")
	b.Wait("the lines", func() bool { return strings.HasSuffix(b.Text(s.ID), "x\nnext\n") })
	if got := len(b.Text(s.ID)); got != 100_000+len("\nnext\n") {
		t.Errorf("got %d bytes", got)
	}
}

func TestShimIsKilled(t *testing.T) {
	b := bench(t)
	s := b.Spec("fork", "3", ";", "stubborn")
	b.Up(s)
	b.Wait("the processes", func() bool { return strings.Contains(b.Text(s.ID), "forked 3") })
	pid := shimOf(t, containerID(s.ID, "main"))
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.Wait("the end to be noticed", func() bool { return !b.Find(s.ID).Containers[0].Running })
	if err := b.Start(t.Context(), s.ID); err != nil {
		t.Errorf("starting again: %v", err)
	}
	b.Gone(s)
	if left := cgroupPIDs(shared.cgroup(s.ID)); len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
}

// shimOf is the process of a container's shim.
func shimOf(t *testing.T, container string) int {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		data, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(data), "-id\x00"+container+"\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatal("there is no shim")
	return 0
}

// TestStartIsGivenUp: a start that ends at any moment leaves no shim, and the
// container starts the next time.
func TestStartIsGivenUp(t *testing.T) {
	b := bench(t)
	s := b.Spec("sleep")
	b.Create(s)
	given := 0
	for after := 2 * time.Millisecond; after < 200*time.Millisecond; after += 9 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		err := b.Start(ctx, s.ID)
		cancel()
		if err == nil {
			break
		}
		given++
		if left := shimsOf(t, s.ID); len(left) > 0 {
			t.Errorf("after %s (%v) shims %v are left", after, err, left)
		}
	}
	if given == 0 {
		t.Error("no start was given up")
	}
	if err := b.Start(t.Context(), s.ID); err != nil {
		t.Errorf("starting again: %v", err)
	}
	b.Gone(s)
	if left := shimsOf(t, s.ID); len(left) > 0 {
		t.Errorf("shims %v are left", left)
	}
}

// TestRemoveEndsShims: a shim that containerd does not know ends with its container.
func TestRemoveEndsShims(t *testing.T) {
	b := bench(t)
	s := b.Spec("sleep")
	b.Create(s)
	orphan := exec.Command("sh", "-c", "read x", "sh", "-namespace", "p-x", "-id", containerID(s.ID, "main"), "-address", shared.dirs.grpcAddress())
	in, err := orphan.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	b.Gone(s)
	// One that lives ends now, by itself.
	in.Close()
	var killed *exec.ExitError
	if err := orphan.Wait(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Errorf("it ended with %v", err)
	}
}

func shimsOf(t *testing.T, id provider.InstanceID) (pids []int) {
	t.Helper()
	all, err := shims(shared.dirs)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.id == containerID(id, "main") {
			pids = append(pids, s.pid)
		}
	}
	return pids
}
