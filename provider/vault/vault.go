package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// Vault is opened storage. Its methods may be called by many at once.
type Vault struct {
	cfg  Config
	kind Kind
	dirs layout
	log  *slog.Logger
	lock *os.File

	mu sync.Mutex
	// data is the directory of private storage, held open: what the kernel has
	// checked once can't be changed on the disk below it.
	data *os.File
	// volumes are the directories of volumes that this process has opened.
	volumes map[string]*os.File
}

// Open adopts the private storage that is there, or clears what is left of it
// and makes it anew. It needs root. One process at a time has a directory
// open: another is refused (conflict, "vault.locked"). A machine that cannot
// do what is asked is told as unimplemented, a disk without room as
// resource_exhausted ("vault.space").
func Open(ctx context.Context, cfg Config) (*Vault, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, status.New(status.PermissionDenied, "vault.root", "private storage needs root").
			WithHint("start the provider as root")
	}
	v := &Vault{cfg: cfg, kind: cfg.Kind, dirs: layout{cfg.Dir}, log: cfg.Logger, volumes: map[string]*os.File{}}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	if v.cfg.step == nil {
		v.cfg.step = func(string) {}
	}
	if v.kind == "" {
		v.kind = FSCrypt
	}
	if err := v.prepare(); err != nil {
		return nil, err
	}
	err := v.openPrivate(ctx)
	if v.kind == FSCrypt && cfg.Fallback && status.CodeOf(err) == status.Unimplemented {
		v.log.Warn("this machine has no encrypted storage: the owner of the disk can read the pods", "err", err)
		v.kind = None
		err = v.openPrivate(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening private storage: %w", err), v.Close())
	}
	return v, nil
}

// Path is the directory whose content is protected. Its mode is 0711.
func (v *Vault) Path() string { return filepath.Join(v.dirs.mount(), dataDir) }

// Kind is how the content is protected, which after a fallback is not what was
// asked for.
func (v *Vault) Kind() Kind { return v.kind }

// Close lets another process open the directory. Private storage and volumes
// stay mounted, for pods that go on; see [Vault.Destroy].
func (v *Vault) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var errs error
	if v.data != nil {
		errs = errors.Join(errs, v.data.Close())
		v.data = nil
	}
	for name, f := range v.volumes {
		errs = errors.Join(errs, f.Close())
		delete(v.volumes, name)
	}
	if v.lock != nil {
		errs = errors.Join(errs, v.lock.Close())
		v.lock = nil
	}
	return errs
}

// Destroy removes private storage with all its content, as a reboot would, and
// closes the vault. It is refused (conflict, "vault.busy") while a process has
// a file of it open. Volumes stay.
func (v *Vault) Destroy(ctx context.Context) error {
	v.mu.Lock()
	err := v.destroy(ctx)
	v.mu.Unlock()
	if err != nil {
		return fmt.Errorf("removing private storage: %w", err)
	}
	return v.Close()
}

// Abandon is [Vault.Destroy] also while files are open: who has them open keeps
// them, and the disk space, until they are closed. The key is dropped first, so
// that nothing else can be opened.
func (v *Vault) Abandon(ctx context.Context) error {
	v.mu.Lock()
	err := v.usable(ctx)
	if err == nil {
		err = v.clear()
	}
	v.mu.Unlock()
	if err != nil {
		return fmt.Errorf("removing private storage: %w", err)
	}
	return v.Close()
}

func (v *Vault) destroy(ctx context.Context) error {
	if err := v.usable(ctx); err != nil {
		return err
	}
	if err := v.data.Close(); err != nil {
		return err
	}
	v.data = nil
	if err := unmount(v.dirs.mount(), 0); err != nil {
		// Nothing has changed: go on with it.
		data, openErr := openDirectory(v.Path())
		v.data = data
		return errors.Join(err, openErr)
	}
	return v.clear()
}

// usable refuses calls to a vault that was closed.
func (v *Vault) usable(ctx context.Context) error {
	if v.data == nil {
		return status.New(status.Unavailable, "vault.closed", "the storage is closed")
	}
	return ctx.Err()
}

// prepare makes the directories, takes them for this process and sweeps
// images that were never finished.
func (v *Vault) prepare() error {
	l := v.dirs
	if err := os.MkdirAll(filepath.Dir(l.dir), 0o711); err != nil {
		return fmt.Errorf("making directories: %w", err)
	}
	// A user namespace passes through to root file systems and volumes, and
	// nothing else is for its eyes.
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{
		{l.dir, 0o711}, {l.tmp(), 0o700}, {l.images(), 0o700}, {l.mounts(), 0o711},
	} {
		if err := makeDir(d.path, d.mode); err != nil {
			return fmt.Errorf("making directories: %w", err)
		}
	}
	f, err := os.OpenFile(l.lock(), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("locking %s: %w", l.dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(f.Close(), status.Wrap(err, status.Conflict, "vault.locked", "another process uses the storage %s", l.dir).
			WithHint("stop it, or use another data directory"))
	}
	v.lock = f
	left, err := os.ReadDir(l.tmp())
	for _, e := range left {
		err = errors.Join(err, sweepDir(filepath.Join(l.tmp(), e.Name())))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("sweeping what was not finished: %w", err), v.Close())
	}
	return nil
}
