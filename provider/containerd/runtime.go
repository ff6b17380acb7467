package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/keyed"
)

// Runtime runs instances on an embedded containerd. It is a
// [provider.Runtime], [provider.Instances], [provider.Volumes],
// [provider.Logs] and [provider.Roots]. All methods wait until [Runtime.Run] is ready.
type Runtime struct {
	cfg   Config
	log   *slog.Logger
	dirs  layout
	names names
	ready chan struct{}
	net   *network
	// locks are one per instance, chains one per unpacked layer.
	locks, chains keyed.Locks

	mu      sync.Mutex
	client  *client.Client
	runc    string
	records map[provider.InstanceID]*record
}

var (
	_ provider.Runtime   = (*Runtime)(nil)
	_ provider.Instances = (*Runtime)(nil)
	_ provider.Volumes   = (*Runtime)(nil)
	_ provider.Logs      = (*Runtime)(nil)
	_ provider.Roots     = (*Runtime)(nil)
)

// healEvery is how often the network is put right: a packet filter that
// somebody flushed must not stay open for long.
const healEvery = 30 * time.Second

// New checks a configuration. Nothing is touched before [Runtime.Run].
func New(cfg Config) (*Runtime, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := layout{data: cfg.DataDir, keep: cfg.StateDir, run: cfg.RuntimeDir}
	n := namesOf(cfg.Identity)
	return &Runtime{
		cfg: cfg, log: log, dirs: l, names: n,
		ready:   make(chan struct{}),
		net:     &network{dirs: l, names: n, log: log, used: map[netip.Addr]provider.InstanceID{}},
		records: map[provider.InstanceID]*record{},
	}, nil
}

// Ready is closed when the runtime can be used.
func (r *Runtime) Ready() <-chan struct{} { return r.ready }

// Run starts the embedded containerd, deletes what a crash left half made or
// half deleted, puts the network of every instance right, and serves until ctx
// ends. Running containers are found as they are and stay, with their network,
// when Run returns; without any, the network goes too.
// It can be called once.
func (r *Runtime) Run(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return status.New(status.PermissionDenied, "runtime.root", "containers need root").
			WithHint("start the provider as root")
	}
	unlock, err := r.prepare()
	if err != nil {
		return err
	}
	idle := false
	defer func() {
		unlock()
		if idle {
			r.leaveNothing()
		}
	}()
	bridgeLogs(r.log)
	c, stop, err := startServer(ctx, r.dirs)
	if err != nil {
		return err
	}
	defer stop()
	r.mu.Lock()
	r.client = c
	r.mu.Unlock()
	if err := killOrphans(ctx, c, r.dirs); err != nil {
		return err
	}
	if err := r.restore(ctx); err != nil {
		return err
	}
	close(r.ready)
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.mu.Lock()
			r.client = nil
			idle = len(r.records) == 0
			r.mu.Unlock()
			if idle {
				return r.net.dismantle()
			}
			return nil
		case <-tick.C:
			r.heal(ctx)
		}
	}
}

// prepare makes the directories and takes them for this process alone.
func (r *Runtime) prepare() (func(), error) {
	l := r.dirs
	for _, d := range []string{filepath.Dir(l.data), filepath.Dir(l.keep), filepath.Dir(l.run)} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return nil, fmt.Errorf("making directories: %w", err)
		}
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{
		{l.data, 0o711},
		{l.keep, 0o711},
		{l.run, 0o711},
		{l.bin(), 0o700},
		{l.ranges(), 0o700},
		{l.instances(), 0o711},
		{l.boot(), 0o711},
		{l.bound(), 0o711},
		{l.namespaces(), 0o711},
		{l.secrets(), 0o711},
		{l.fifos(), 0o700},
		{l.tmp(), 0o700},
	} {
		if err := mkdir(d.path, d.mode, 0); err != nil {
			return nil, fmt.Errorf("making directories: %w", err)
		}
	}
	f, err := os.OpenFile(filepath.Join(l.data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, status.Wrap(err, status.Conflict, "runtime.locked", "another process uses the data directory %s", l.data).
			WithHint("stop it, or use another data directory")
	}
	if err := sweepTemporary(l.tmp()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := bindBoot(l); err != nil {
		return nil, errors.Join(fmt.Errorf("mounting the directory of this boot: %w", err), f.Close())
	}
	if err := clearLastBoot(l); err != nil {
		return nil, errors.Join(fmt.Errorf("clearing what the last boot left: %w", err), f.Close())
	}
	if err := mkdir(l.state(), 0o711, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("making directories: %w", err), f.Close())
	}
	if err := linkHelpers(l); err != nil {
		return nil, errors.Join(fmt.Errorf("linking helpers: %w", err), f.Close())
	}
	if r.runc, err = findRunc(r.cfg.RuncPath, l); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if r.net.resolvers, err = resolvers(r.cfg.Resolvers); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if len(r.net.resolvers) == 0 {
		r.log.Warn("no DNS server is known that pods can reach: they will not resolve names")
	}
	return func() { f.Close() }, nil
}

// use waits until the runtime is ready and returns the client, and a context
// that names the publisher's namespace if there is one.
func (r *Runtime) use(ctx context.Context, namespace string) (context.Context, *client.Client, error) {
	select {
	case <-r.ready:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	r.mu.Lock()
	c := r.client
	r.mu.Unlock()
	if c == nil {
		return nil, nil, status.New(status.Unavailable, "runtime.stopped", "the container runtime has stopped")
	}
	if namespace != "" {
		ctx = namespaces.WithNamespace(ctx, namespace)
	}
	return ctx, c, nil
}

// get returns the record of an instance that is not being removed.
func (r *Runtime) get(id provider.InstanceID) (*record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[id]
	if rec == nil || rec.Phase != made {
		return nil, status.New(status.NotFound, "instance.unknown", "no instance %q is here", id)
	}
	return rec, nil
}
