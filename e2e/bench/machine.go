package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine describes what the figures were taken on.
func machine(dir string) string {
	var un unix.Utsname
	_ = unix.Uname(&un)
	memory, _ := strconv.Atoi(field("/proc/meminfo", "MemTotal"))
	congestion, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	return fmt.Sprintf("%d x %s, %d GiB, Linux %s, %s, %s, TCP %s.", runtime.NumCPU(), field("/proc/cpuinfo", "model name"),
		memory>>20, unix.ByteSliceToString(un.Release[:]), fileSystem(dir), runtime.Version(), strings.TrimSpace(string(congestion)))
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(b))[0]
}

// field is the first value of a key in a file of "key: value" lines, without its unit.
func field(path, key string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		if strings.TrimSpace(name) == key {
			return strings.TrimSuffix(strings.TrimSpace(value), " kB")
		}
	}
	return ""
}

// statusKB is a memory figure of a process in KiB; 0 when it has ended.
func statusKB(pid int, key string) float64 {
	kb, _ := strconv.ParseFloat(field(fmt.Sprintf("/proc/%d/status", pid), key), 64)
	return kb
}

// forgetPeak makes a process's peak of memory (VmHWM) what it holds now
// (proc(5), /proc/PID/clear_refs).
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o600)
}

// fileSystem is the type of the file system that holds dir.
func fileSystem(dir string) string {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return "unknown file system"
	}
	defer f.Close()
	best, kind := "", ""
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Fields(s.Text())
		if len(w) > 2 && len(w[1]) >= len(best) && (w[1] == "/" || dir == w[1] || strings.HasPrefix(dir, w[1]+"/")) {
			best, kind = w[1], w[2]
		}
	}
	return kind
}

// syncFileSystem makes everything durable that was written to dir's file system.
func syncFileSystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
