package containerd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"apocryph/provider/containerd/attendant"
	"apocryph/provider/runtimetest"
)

// shared is the runtime of this process: there can be only one.
var shared *Runtime

// daemonEnv makes this test program a daemon of its own; see restart_test.go.
const daemonEnv = "APOCRYPH_TEST_DAEMON"

func TestMain(m *testing.M) {
	if attendant.Run() {
		return
	}
	if dir := os.Getenv(daemonEnv); dir != "" {
		if err := testDaemon(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	cfg, clean, err := testConfig()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	if shared, err = New(cfg); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- shared.Run(ctx) }()
	select {
	case <-shared.Ready():
	case err := <-done:
		return 1, err
	}
	code = m.Run()
	if left, err := shared.List(ctx); err != nil || len(left) > 0 {
		fmt.Fprintln(os.Stderr, "instances are left:", left, err)
		code = 1
	}
	cancel()
	// containerd's event exchange cannot be closed.
	known := goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run")
	if err := errors.Join(<-done, leftovers(shared), goleak.Find(known)); err != nil {
		return 1, err
	}
	return code, nil
}

// testConfig is a provider of its own, in temporary directories.
func testConfig() (Config, func() error, error) {
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		return Config{}, nil, err
	}
	data, err := os.MkdirTemp("", "apocryph")
	if err != nil {
		return Config{}, nil, err
	}
	run, err := os.MkdirTemp("/run", "apt")
	if err != nil {
		return Config{}, nil, err
	}
	runc, err := testRunc(data)
	if err != nil {
		return Config{}, nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() || os.Getenv(daemonEnv) != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	clean := func() error {
		errs := errors.Join(os.RemoveAll(data), os.RemoveAll(run))
		if bridges, err := filepath.Glob("/sys/class/net/apo-*"); err != nil || len(bridges) > 0 {
			// Another provider still needs what this one has switched on.
			return errors.Join(errs, err)
		}
		return errors.Join(errs, sysctl("ipv4/ip_forward", strings.TrimSpace(string(forward))))
	}
	err = errors.Join(os.Chmod(data, 0o711), os.Chmod(run, 0o711))
	return Config{
		DataDir: data + "/d", StateDir: data + "/s", RuntimeDir: run, Identity: data, RuncPath: runc,
		Volumes: dirVolumes(data + "/v"), Logger: log,
	}, clean, err
}

// dirVolumes are plain directories below one.
type dirVolumes string

func (v dirVolumes) Open(_ context.Context, name string, _ uint64) (string, error) {
	path := filepath.Join(string(v), name)
	return path, errors.Join(mkdir(string(v), 0o711, 0), os.MkdirAll(path, 0o711))
}

func (v dirVolumes) Remove(_ context.Context, name string) error {
	return os.RemoveAll(filepath.Join(string(v), name))
}

func (v dirVolumes) List() ([]string, error) {
	entries, err := os.ReadDir(string(v))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if missing(err) {
		err = nil
	}
	return names, err
}

// testRunc is the path of the runc that the tests use: the one that is embedded
// in releases, built here if need be.
func testRunc(dir string) (string, error) {
	if len(embeddedRunc) > 0 {
		return "", nil
	}
	packed, err := os.ReadFile("runc/runc.zst")
	if errors.Is(err, os.ErrNotExist) {
		if out, err := exec.Command("runc/build.sh").CombinedOutput(); err != nil {
			return "", fmt.Errorf("building runc: %w: %s", err, out)
		}
		packed, err = os.ReadFile("runc/runc.zst")
	}
	if err != nil {
		return "", err
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		return "", err
	}
	defer d.Close()
	binary, err := d.DecodeAll(packed, nil)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "runc")
	return path, os.WriteFile(path, binary, 0o700)
}

// leftovers names everything of a provider that is still on the machine.
func leftovers(r *Runtime) error {
	var errs error
	left := func(what string, got any) { errs = errors.Join(errs, fmt.Errorf("%s is left behind: %v", what, got)) }
	links, err := netlink.LinkList()
	errs = errors.Join(errs, err)
	for _, l := range links {
		if l.Attrs().Name == r.names.bridge {
			left("the bridge", l.Attrs().Name)
		}
	}
	tables, err := tableNames()
	errs = errors.Join(errs, err)
	for _, t := range tables {
		if t == r.names.table {
			left("the packet filter", t)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	errs = errors.Join(errs, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, r.dirs.data) || strings.Contains(line, r.dirs.keep) || strings.Contains(line, r.dirs.run) {
			left("a mount", line)
		}
	}
	if dirs := cgroupDirs(r.names.cgroup); !attendant.Unified() && len(dirs) > 0 {
		left("a cgroup", dirs)
	}
	for _, dir := range []string{
		r.dirs.instances(), r.dirs.namespaces(), r.dirs.secrets(), string(r.cfg.Volumes.(dirVolumes)), r.dirs.ranges(), r.dirs.fifos(),
		r.dirs.tmp(),
		filepath.Join(r.dirs.root(), "io.containerd.snapshotter.v1.overlayfs", "snapshots"),
	} {
		entries, err := os.ReadDir(dir)
		if err != nil && !missing(err) {
			errs = errors.Join(errs, err)
		}
		for _, e := range entries {
			left("a file", filepath.Join(dir, e.Name()))
		}
	}
	return errs
}

// bench is a bench on the shared runtime.
func bench(t *testing.T) *runtimetest.Bench { return runtimetest.NewBench(t, shared) }

func TestContract(t *testing.T) {
	runtimetest.Test(t, func(*testing.T) runtimetest.Runtime { return shared })
}
