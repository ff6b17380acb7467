package providerd

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
	"apocryph/provider/containerd"
	"apocryph/provider/inventory"
	"apocryph/provider/vault"
)

const (
	// memoryShare is the part of the memory that pods' files may take with
	// --storage tmpfs where no size is given.
	memoryShare = 4
	// plainVolume is the size of a persistent volume that asks for none, in bytes.
	plainVolume = 1 << 30
	// volumesKeyInfo keeps the key of volumes apart from others of the data key.
	volumesKeyInfo = "apocryph/volumes/1"
	volumesKeySize = 32
)

// vaultConfig is what storage is asked for; what is left to the machine is
// filled in.
func (s settings) vaultConfig() (vault.Config, error) {
	cfg := vault.Config{
		Dir: filepath.Join(s.DataDir, "private"), Kind: vault.Kind(s.Storage), Size: s.storageSize, Logger: s.Logger,
	}
	switch cfg.Kind {
	case vault.FSCrypt:
		// What is not taken at once can be taken by others: then writes that the
		// file system below has accepted fail, and all pods with them.
		cfg.Reserve = true
	case vault.TmpFS:
		if cfg.Size == 0 {
			var in unix.Sysinfo_t
			if err := unix.Sysinfo(&in); err != nil {
				return cfg, fmt.Errorf("asking for the size of the memory: %w", err)
			}
			cfg.Size = int64(uint64(in.Totalram) * uint64(in.Unit) / memoryShare)
		}
	}
	return cfg, nil
}

// storage is where the plaintext of pods is.
type storage struct {
	*vault.Vault
	dataDir string
}

// openStorage opens it as configured, never as anything weaker.
func openStorage(ctx context.Context, s settings) (*storage, error) {
	cfg, err := s.vaultConfig()
	if err != nil {
		return nil, err
	}
	if err := removePlainRuntime(filepath.Join(s.DataDir, "runtime"), s.Logger); err != nil {
		return nil, err
	}
	v, err := vault.Open(ctx, cfg)
	if err != nil {
		return nil, refusal(cfg.Kind, err)
	}
	if v.Kind() == vault.None {
		s.Logger.Warn("pods are not protected at rest: the owner of the disk can read them", "storage", v.Kind())
	}
	return &storage{v, s.DataDir}, nil
}

// refusal tells how to go on where the machine cannot do what is asked for.
func refusal(kind vault.Kind, err error) error {
	var e *status.Error
	if !errors.As(err, &e) || e.Code != status.Unimplemented {
		return err
	}
	return status.Wrap(err, e.Code, "provider.storage", "this machine cannot protect pods at rest with %s: %s", kind, e.Detail).
		WithHint("%s; `provider doctor` looks closer; --storage tmpfs keeps pods in memory, --storage none leaves them readable on the disk and tells publishers so", e.Hint)
}

// runtimeDir is where the container runtime has its plaintext.
func (s *storage) runtimeDir() string { return filepath.Join(s.Path(), "runtime") }

// stateDir is where it has what a reboot must not take, which is no secret.
func (s *storage) stateDir() string { return filepath.Join(s.dataDir, "runtime-state") }

// leave closes the storage. Pods that are here keep it; without any, nothing of
// it stays mounted, and its disk space is given back.
func (s *storage) leave(ctx context.Context) error {
	empty, err := containerd.Empty(s.runtimeDir())
	if err != nil || !empty {
		return errors.Join(err, s.Close())
	}
	names, err := s.Volumes()
	for _, name := range names {
		err = errors.Join(err, s.CloseVolume(ctx, name))
	}
	if err != nil || s.Kind() == vault.None {
		return errors.Join(err, s.Close())
	}
	// The embedded containerd may have a file open until the process ends.
	return errors.Join(s.Abandon(ctx), s.Close())
}

// fit makes what the inventory counts that of the storage: what fits in there,
// and on the disk below, where volumes go, whichever is less. The volumes that
// are here have taken their part already and are charged for it again.
func (s *storage) fit(m *inventory.Machine) error {
	var below, here unix.Statfs_t
	if err := errors.Join(unix.Statfs(s.dataDir, &below), unix.Statfs(s.Path(), &here)); err != nil {
		return fmt.Errorf("looking at storage: %w", err)
	}
	volumes, err := s.VolumeBytes()
	if err != nil {
		return err
	}
	m.DiskBytes = min(below.Bavail*uint64(below.Bsize), here.Bavail*uint64(here.Bsize)) + uint64(volumes)
	if s.Kind() == vault.TmpFS {
		m.MemoryBytes -= min(m.MemoryBytes, here.Blocks*uint64(here.Bsize))
	}
	return nil
}

// persistent are the volumes of pods, with keys that only this machine has.
type persistent struct {
	s   *storage
	key []byte
}

// persistent derives the key of volumes from the data key. The vault binds it
// to the names of volumes, which have the pods' ids in them.
func (s *storage) persistent(dataKey []byte) (*persistent, error) {
	key, err := hkdf.Expand(sha256.New, dataKey, volumesKeyInfo, volumesKeySize)
	return &persistent{s, key}, err
}

// Open implements [containerd.Volumes].
func (p *persistent) Open(ctx context.Context, name string, bytes uint64) (string, error) {
	if bytes == 0 {
		bytes = plainVolume
	}
	v, err := p.s.Volume(ctx, name, p.key, int64(bytes))
	return v.Path, err
}

// Remove implements [containerd.Volumes].
func (p *persistent) Remove(ctx context.Context, name string) error {
	return p.s.RemoveVolume(ctx, name)
}

// List implements [containerd.Volumes].
func (p *persistent) List() ([]string, error) { return p.s.Volumes() }

// removePlainRuntime deletes what versions without protected storage left on
// the disk. All of it can be made again but persistent volumes, which are
// nobody's to delete.
func removePlainRuntime(dir string, log *slog.Logger) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	volumes := filepath.Join(dir, "volumes")
	if left, err := os.ReadDir(volumes); err == nil && len(left) > 0 {
		return status.New(status.Conflict, "provider.plain_volumes", "%s has persistent volumes of an earlier version, in plain", volumes).
			WithHint("copy what is needed from there, then delete %s", volumes)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := containerd.UnmountBelow(dir); err != nil {
		return fmt.Errorf("removing what an earlier version left in plain: %w", err)
	}
	log.Warn("removing what an earlier version left in plain; the disk may keep its content", "dir", dir)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing what an earlier version left in plain: %w", err)
	}
	return nil
}

// checkStorage looks whether the machine can keep pods as configured. A faulty
// configuration is told elsewhere.
func checkStorage(cfg Config) []Diagnosis {
	set, err := cfg.check()
	if err != nil {
		return nil
	}
	at, err := set.vaultConfig()
	if err != nil {
		return []Diagnosis{{Name: "storage", Found: err.Error(), Do: "use --storage fscrypt"}}
	}
	var out []Diagnosis
	for _, f := range vault.Probe(at) {
		d := Diagnosis{Name: "storage", OK: f.OK, Found: f.Name + ": " + f.Found, Do: f.Do}
		if at.Kind == vault.None && f.Name == vault.PlainStorage {
			// It is what was asked for.
			d.OK, d.Do = true, ""
		}
		if !d.OK && f.Name != vault.Swap {
			d.Do += "; or --storage none, which publishers see"
		}
		out = append(out, d)
	}
	return out
}
