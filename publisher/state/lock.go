package state

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"apocryph/proto/status"
)

// pollEvery is how often a lock is tried that another process holds; the kernel
// has no wait that a context can end.
const pollEvery = 20 * time.Millisecond

// Lock keeps other deploys of an app away, on whatever provider. It does not
// wait: while another process or goroutine holds it, the error is a conflict.
// The kernel releases it when the process dies.
func (s *State) Lock(name string) (release func(), err error) {
	if !namePattern.MatchString(name) {
		return nil, status.New(status.InvalidArgument, "state.app", "name: got %.80q, want a DNS label", name)
	}
	path := s.lockPath("deploy-" + name)
	f, ok, err := tryLock(path, true)
	if err != nil {
		return nil, s.diskError(err, path)
	}
	if !ok {
		return nil, status.New(status.Conflict, "state.locked", "another deploy of %s is running%s", name, holder(path)).
			WithHint("wait until it ends, or stop it")
	}
	// For the text of the error above only; the lock is what counts.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(fmt.Sprintf("%d\n", os.Getpid())), 0)
	}
	return func() { f.Close() }, nil
}

// WaitLock waits until nobody else, in this or another process, holds the lock
// of a name, and takes it. If it has to wait it calls waiting once.
func (s *State) WaitLock(ctx context.Context, name string, waiting func()) (release func(), err error) {
	return s.wait(ctx, s.lockPath("wait-"+hashName(name)), true, waiting)
}

// holder says who has a lock, where that is readable (on Windows it is not).
func holder(path string) string {
	data, err := readFile(path)
	pid := strings.TrimSpace(string(data))
	if err != nil || pid == "" || len(pid) > 20 || strings.Trim(pid, "0123456789") != "" {
		return ""
	}
	return " (process " + pid + ")"
}

func (s *State) lockPath(name string) string { return filepath.Join(s.dir, "locks", name) }

// change takes the lock under which files are read and written back.
func (s *State) change(ctx context.Context) (release func(), err error) {
	return s.wait(ctx, s.lockPath("change"), true, func() {})
}

func (s *State) wait(ctx context.Context, path string, exclusive bool, waiting func()) (release func(), err error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another publisher: %w", ctx.Err())
		case <-timer.C:
		}
		f, ok, err := tryLock(path, exclusive)
		if err != nil {
			return nil, s.diskError(err, path)
		}
		if ok {
			return func() { f.Close() }, nil
		}
		waiting()
		waiting = func() {}
		timer.Reset(pollEvery)
	}
}

// tryLock opens and locks a file; ok is false when someone else has it. Closing
// the file releases the lock.
func tryLock(path string, exclusive bool) (f *os.File, ok bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	ok, err = flock(f, exclusive)
	if err != nil || !ok {
		f.Close()
		return nil, false, err
	}
	return f, true, nil
}
