package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// watchEvery is how often the scratch directory is measured while git runs.
	watchEvery = 200 * time.Millisecond
	// waitDelay is for pipes that a killed child's children hold.
	waitDelay = 5 * time.Second
	// nobody is the user that git runs as where this process is root.
	nobody = 65534
)

// remote says whether a run may talk to the server.
type remote bool

// run starts git in the scratch repository, lets read have its output, and
// waits for it. Output that is not read is discarded.
func (j *job) run(ctx context.Context, r remote, stdin io.Reader, read func(io.Reader) error, args ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := j.command(ctx, args)
	cmd.Dir = "/"
	cmd.Env = j.environ(r)
	cmd.ExtraFiles = []*os.File{j.scratch.f, j.scratch.settings}
	cmd.Stdin = stdin
	messages := &capped{left: maxErrors}
	cmd.Stderr = messages
	cmd.WaitDelay = waitDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if j.uid >= 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(j.uid), Gid: uint32(j.uid)}
	}
	// The whole group: git's helpers outlive it otherwise, and hold the pipes.
	cmd.Cancel = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting git: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting git: %w", err)
	}
	stop := j.watch(ctx, cancel)
	readErr := read(out)
	if readErr != nil {
		cancel(readErr)
	}
	_, _ = io.Copy(io.Discard, out)
	waitErr := cmd.Wait()
	stop()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case waitErr != nil:
		return j.failed(cmd, args[0], messages.buf.String())
	}
	return readErr
}

// failed makes an error of the way a run ended.
func (j *job) failed(cmd *exec.Cmd, command, stderr string) error {
	s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && s.Signaled() && s.Signal() == unix.SIGXFSZ {
		return errDisk
	}
	f := &failure{command: command, exit: cmd.ProcessState.ExitCode(), class: classify(stderr)}
	j.log.Debug("git ended", "repository", j.name, "command", command, "exit_code", f.exit, "class", string(f.class))
	return f
}

// environ is all of git's environment.
func (j *job) environ(r remote) []string {
	protocols := "none"
	if r {
		protocols = j.protocol
	}
	return []string{
		"PATH=" + filepath.Dir(j.program) + ":/usr/bin:/bin",
		"LC_ALL=C",
		"HOME=" + inside, "XDG_CONFIG_HOME=" + inside, "TMPDIR=" + inside + "/tmp",
		"GIT_DIR=" + inside,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + settings, "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false", "GIT_SSH_COMMAND=/bin/false",
		"GIT_ALLOW_PROTOCOL=" + protocols, "GIT_PROTOCOL_FROM_USER=0",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0",
	}
}

// limited starts a program under limits, which its children inherit. A shell
// sets them: after the start of git they would come too late for its children.
const limited = `ulimit -f "$1" && ulimit -v "$2" && ulimit -t "$3" && ulimit -c 0 && shift 3 && exec "$@"`

// command is a run of git with its limits: the size of a file in blocks of 512
// bytes, the address space in KiB, and seconds of a processor.
func (j *job) command(ctx context.Context, args []string) *exec.Cmd {
	limits := []string{
		"-c", limited, "sh", strconv.FormatInt(j.limits.Bytes/512+2048, 10),
		strconv.FormatInt(memory>>10, 10), strconv.FormatInt(int64(j.limits.Time/time.Second)+1, 10), j.program,
	}
	return exec.CommandContext(ctx, "/bin/sh", append(limits, args...)...)
}

// watch ends the run where the scratch directory grows beyond its limit: each
// file has its own limit, and there may be many. stop waits for it.
func (j *job) watch(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				if j.scratch.size() > j.limits.Bytes {
					cancel(errDisk)
					return
				}
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// capped keeps the beginning of what is written to it.
type capped struct {
	buf  bytes.Buffer
	left int
}

func (c *capped) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.buf.Write(b[:n])
	c.left -= n
	return len(b), nil
}

// upTo is a reader that fails beyond n bytes: an end would pass for a whole answer.
type upTo struct {
	r io.Reader
	n int64
}

func (u *upTo) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	if u.n -= int64(n); u.n < 0 {
		return 0, errOutput
	}
	return n, err
}

func discard(io.Reader) error { return nil }
