package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/runtimetest/script"
)

// process is one run of a fake container.
type process struct {
	// term asks it to end, kill ends it, done is closed when it has.
	term, kill, done chan struct{}
	termOnce, once   sync.Once
	code             int
}

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) ask() {
	if p != nil {
		p.termOnce.Do(func() { close(p.term) })
	}
}

// end kills the process with an exit code, unless it has ended.
func (p *process) end(code int) {
	if p != nil {
		p.once.Do(func() { p.code = code; close(p.kill) })
	}
}

// launch runs a container. The lock is held.
func (f *Fake) launch(in *fakeInstance, c *fakeContainer, servers []*http.Server) {
	p := &process{term: make(chan struct{}), kill: make(chan struct{}), done: make(chan struct{})}
	c.run, c.exit = p, -1
	argv := argvOf(c)
	f.processes.Go(func() {
		code := 0
		if argv[0] == Probe {
			code = script.Run(&world{f: f, in: in, c: c, p: p}, argv[1:], nil)
		} else {
			select {
			case <-p.term:
			case <-p.kill:
			}
		}
		for _, s := range servers {
			s.Close()
		}
		select {
		case <-p.kill:
			code = p.code
		default:
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		c.exit = code
		close(p.done)
		e := provider.Exit{Instance: in.spec.ID, Container: c.spec.Name, Code: code, At: time.Now()}
		for w := range f.watchers {
			w <- e
		}
	})
}

// execOf is what a container will run.
func execOf(c *fakeContainer) provider.Exec {
	out := provider.Exec{Args: argvOf(c), Env: c.config.Env}
	for _, v := range c.spec.Env {
		out.Env = append(out.Env[:len(out.Env):len(out.Env)], v.Name+"="+v.Value)
	}
	for _, m := range c.spec.Mounts {
		out.Mounts = append(out.Mounts, m.Volume+":"+m.Path+":")
	}
	return out
}

// argvOf is the command line, as in Kubernetes.
func argvOf(c *fakeContainer) []string {
	switch {
	case len(c.spec.Command) > 0:
		return slices.Concat(c.spec.Command, c.spec.Args)
	case len(c.spec.Args) > 0:
		return slices.Concat(c.config.Entrypoint, c.spec.Args)
	}
	return slices.Concat(c.config.Entrypoint, c.config.Cmd)
}

// world is what the script of a fake container acts on.
type world struct {
	f  *Fake
	in *fakeInstance
	c  *fakeContainer
	p  *process
	// out takes the output of a command that is run by Exec.
	out *bytes.Buffer
}

func (w *world) Print(stream, line string) {
	if w.out != nil {
		fmt.Fprintln(w.out, line)
		return
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	for l := range strings.SplitSeq(line, "\n") {
		w.c.logs = append(w.c.logs, provider.LogLine{Container: w.c.spec.Name, Time: time.Now(), Stream: stream, Text: []byte(l)})
	}
}

func (w *world) Getenv(name string) (string, bool) {
	for _, v := range w.c.spec.Env {
		if v.Name == name {
			return v.Value, true
		}
	}
	for _, kv := range w.c.config.Env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v, true
		}
	}
	if name == "HOSTNAME" {
		return w.in.spec.Name, true
	}
	return "", false
}

// volume finds the volume that a path is in.
func (w *world) volume(path string) (*fakeVolume, string, bool) {
	for _, m := range w.c.spec.Mounts {
		if rest, ok := strings.CutPrefix(path, m.Path); ok && strings.HasPrefix(rest, "/") {
			readOnly := m.ReadOnly
			for _, v := range w.in.spec.Volumes {
				readOnly = readOnly || v.Name == m.Volume && v.Kind == manifest.Secret
			}
			return w.c.volumes[m.Volume], rest, readOnly
		}
	}
	for _, b := range w.c.spec.Binds {
		if rest, ok := strings.CutPrefix(path, b.Path); ok && strings.HasPrefix(rest, "/") {
			return w.c.volumes[b.Volume], "/" + b.Dir + rest, false
		}
	}
	return nil, "", false
}

func (w *world) ReadFile(path string) ([]byte, error) {
	v, name, _ := w.volume(path)
	if v == nil {
		return nil, fs.ErrNotExist
	}
	if dir := v.root(); dir != "" {
		return os.ReadFile(filepath.Join(dir, name))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	data, ok := v.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(data), nil
}

func (w *world) WriteFile(path string, data []byte) error {
	v, name, readOnly := w.volume(path)
	if v == nil {
		return fs.ErrNotExist
	}
	if readOnly {
		return fs.ErrPermission
	}
	if dir := v.root(); dir != "" {
		to := filepath.Join(dir, name)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files[name] = bytes.Clone(data)
	return nil
}

func (w *world) Lookup(name string) (string, error) {
	for _, c := range w.in.containers {
		if c.spec.Name == name {
			return "127.0.0.1", nil
		}
	}
	return "", errors.New("unknown host")
}

func (w *world) Sleep(stubborn bool) bool {
	term := w.p.term
	if stubborn {
		term = nil
	}
	select {
	case <-term:
		return true
	case <-w.p.kill:
		return false
	}
}

// Exec runs a script in a running container; see [provider.Instances].
func (f *Fake) Exec(ctx context.Context, id provider.InstanceID, container string, argv []string) (int, []byte, error) {
	f.mu.Lock()
	err := f.fault("Exec")
	in, c, ferr := f.find(id, container)
	f.mu.Unlock()
	switch {
	case err != nil:
		return 0, nil, err
	case ferr != nil:
		return 0, nil, ferr
	case len(argv) == 0:
		return 0, nil, status.Invalid("exec.command", "the command", []status.Fault{{Field: "argv", Got: "nothing"}})
	}
	f.mu.Lock()
	running := c.run.running()
	f.mu.Unlock()
	if !running {
		return 0, nil, status.New(status.Unavailable, "container.stopped", "container %q does not run", container)
	}
	if argv[0] != Probe {
		return 0, nil, status.New(status.AppFailed, "container.start", "container %q has no program %q", container, argv[0])
	}
	p := &process{term: make(chan struct{}), kill: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { p.end(137) })
	defer stop()
	out := &bytes.Buffer{}
	code := script.Run(&world{f: f, in: in, c: c, p: p, out: out}, argv[1:], nil)
	return code, out.Bytes(), ctx.Err()
}
