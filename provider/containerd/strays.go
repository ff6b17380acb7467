package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"apocryph/provider"
)

// The records are in storage that may be lost while the machine goes on: its
// file system broke, or somebody took it away. The pods of then still run, on
// files that nobody else sees, and would have to share their names with those
// that are made anew.

// endStrays ends and removes whatever runs or is mounted for an instance that
// has no record.
func (r *Runtime) endStrays() error {
	groups, known := map[string]bool{}, map[provider.InstanceID]bool{}
	r.mu.Lock()
	for id := range r.records {
		known[id] = true
		groups[filepath.Base(r.cgroup(id))] = true
	}
	r.mu.Unlock()
	for _, dir := range cgroupDirs(r.names.cgroup) {
		err := eachName(dir, func(name string) error {
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || !st.IsDir() || groups[name] {
				return nil //nolint:nilerr // groups vanish while they are looked at
			}
			r.log.Warn("ending the processes of an instance that is not known any more", slog.String("cgroup", name))
			return endGroup(r.names.cgroup + "/" + name)
		})
		if err != nil {
			return err
		}
	}
	strays := map[provider.InstanceID]bool{}
	note := func(name string) error {
		id, _, _ := strings.Cut(name, ".")
		if !known[provider.InstanceID(id)] && safeName.MatchString(id) {
			strays[provider.InstanceID(id)] = true
		}
		return nil
	}
	if err := errors.Join(eachName(r.dirs.namespaces(), note), eachName(r.dirs.secrets(), note)); err != nil {
		return err
	}
	for id := range strays {
		if err := errors.Join(r.net.detach(id), unpinNamespaces(r.dirs, id), removeSecrets(r.dirs, id)); err != nil {
			return fmt.Errorf("removing the remains of %s: %w", id, err)
		}
	}
	return nil
}

// endGroup kills the processes of a cgroup, waits for them to be gone, and
// removes it.
func endGroup(group string) error {
	limit := time.NewTimer(killTime)
	defer limit.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if err := killGroup(group); err != nil {
			return err
		}
		if len(cgroupPIDs(group)) == 0 {
			return removeCgroup(group)
		}
		select {
		case <-again.C:
		case <-limit.C:
			return fmt.Errorf("the processes of cgroup %s do not end", group)
		}
	}
}

// eachName calls fn with the names in a directory, which may be missing.
func eachName(dir string, fn func(name string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := fn(e.Name()); err != nil {
			return err
		}
	}
	return nil
}
