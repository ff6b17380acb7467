package containerd

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"apocryph/proto/status"
	"apocryph/provider"
)

// execTail is how many bytes of a command's output are kept, the last ones.
const execTail = 4 << 10

// Exec runs a command in a running container as the container's user, until it
// ends or ctx does, and returns its exit code and the end of its output.
func (r *Runtime) Exec(ctx context.Context, id provider.InstanceID, container string, argv []string) (int, []byte, error) {
	if _, _, err := r.use(ctx, ""); err != nil {
		return 0, nil, err
	}
	rec, err := r.get(id)
	if err != nil {
		return 0, nil, err
	}
	c, ok := rec.container(container)
	if !ok {
		return 0, nil, status.New(status.NotFound, "container.unknown", "instance %s has no container %q", id, container)
	}
	if len(argv) == 0 {
		return 0, nil, status.Invalid("exec.command", "the command", []status.Fault{{Field: "argv", Got: "nothing", Want: "a program"}})
	}
	ctx, cl, err := r.use(ctx, rec.namespace())
	if err != nil {
		return 0, nil, err
	}
	cont, err := cl.LoadContainer(ctx, c.ID)
	if err != nil {
		return 0, nil, fmt.Errorf("loading container %q: %w", container, err)
	}
	task, err := cont.Task(ctx, nil)
	if gone(err) && err != nil {
		return 0, nil, status.Wrap(err, status.Unavailable, "container.stopped", "container %q does not run", container)
	} else if err != nil {
		return 0, nil, fmt.Errorf("finding the task of container %q: %w", container, err)
	}
	spec, err := cont.Spec(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the specification of container %q: %w", container, err)
	}
	proc := *spec.Process
	proc.Args, proc.Terminal = argv, false
	out := &tail{max: execTail}
	p, err := task.Exec(ctx, "x-"+rand.Text(), &proc, cio.NewCreator(cio.WithStreams(nil, out, out), cio.WithFIFODir(r.dirs.fifos())))
	if err != nil {
		return 0, nil, fmt.Errorf("preparing a command in container %q: %w", container, err)
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		// The command is over or of no interest any more.
		_, _ = p.Delete(cctx, client.WithProcessKill)
	}()
	exited, err := p.Wait(context.WithoutCancel(ctx))
	if err != nil {
		return 0, nil, fmt.Errorf("waiting for a command in container %q: %w", container, err)
	}
	if err := p.Start(ctx); ctx.Err() != nil {
		// On a busy machine the time may be over already; the shim's word for it is another.
		return 0, nil, ctx.Err()
	} else if err != nil {
		return 0, nil, startError(container, err)
	}
	select {
	case st := <-exited:
		drain(p.IO())
		code, _, err := st.Result()
		if err != nil {
			return 0, nil, fmt.Errorf("waiting for a command in container %q: %w", container, err)
		}
		return int(code), out.bytes(), nil
	case <-ctx.Done():
		_ = p.Kill(context.WithoutCancel(ctx), syscall.SIGKILL)
		return 0, out.bytes(), ctx.Err()
	}
}

// drainTime bounds the wait for output after a command's end: what it left
// running in the background may hold its output open for ever.
const drainTime = time.Second

// drain waits for what a command wrote last, which may still be on its way.
func drain(out cio.IO) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		out.Wait()
	}()
	late := time.NewTimer(drainTime)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		// Deleting the process closes the pipes, and so ends the wait.
	}
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu  sync.Mutex
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p[max(0, len(p)-t.max):]...)
	t.buf = append(t.buf[:0], t.buf[max(0, len(t.buf)-t.max):]...)
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.buf...)
}
