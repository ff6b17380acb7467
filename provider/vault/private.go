package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// openPrivate opens storage of the kind that is asked for.
func (v *Vault) openPrivate(ctx context.Context) error {
	open := map[Kind]func(context.Context) error{FSCrypt: v.openEncrypted, TmpFS: v.openMemory, None: v.openPlain}[v.kind]
	if err := open(ctx); err != nil {
		return err
	}
	data, err := openDirectory(v.Path())
	v.data = data
	return err
}

// openEncrypted adopts the encrypted directory of this boot, or makes another.
func (v *Vault) openEncrypted(ctx context.Context) error {
	dev, err := v.adopt()
	if err != nil {
		v.log.Info("private storage is made anew", "why", err)
		return v.create(ctx)
	}
	defer dev.close()
	if v.cfg.Size == 0 {
		return nil
	}
	if err := v.growImage(v.dirs.image(), dev, v.dirs.mount(), v.cfg.Size, v.cfg.Reserve); err != nil {
		v.log.Warn("private storage stays smaller than configured", "err", err)
	}
	return nil
}

// adopt finds the image attached, mounts it where it is not, and looks whether
// the kernel still has the key. The error says what was missing.
func (v *Vault) adopt() (*loop, error) {
	dev, err := findLoop(v.dirs.image())
	if err != nil {
		return nil, err
	}
	if err := v.adoptMount(dev); err != nil {
		return nil, errors.Join(err, dev.close())
	}
	return dev, nil
}

func (v *Vault) adoptMount(dev *loop) error {
	// The file system may be in use and yet not mounted here: pods keep it when
	// somebody unmounts it, or when a provider had a mount namespace of its own.
	if err := mountExt4(dev, v.dirs.mount(), !v.cfg.Reserve); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(v.dirs.mount(), &st); err != nil {
		return err
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return errors.New("the kernel made it read-only after an error")
	}
	data, err := openDirectory(v.Path())
	if err != nil {
		return err
	}
	defer data.Close()
	id, err := policyOf(data)
	if err != nil {
		return err
	}
	if here, err := keyPresent(data, id); err != nil || !here {
		return errors.Join(errors.New("its key is gone"), err)
	}
	return nil
}

// create clears what is left and makes an encrypted directory with a new key.
// It is put together aside: a machine that cannot do it keeps the plain storage
// that it falls back to.
func (v *Vault) create(ctx context.Context) (err error) {
	if err := v.clearMount(); err != nil {
		return err
	}
	size := v.cfg.Size
	if size == 0 {
		free, err := freeDisk(v.dirs.dir)
		if err != nil {
			return err
		}
		size = min(free/100*freeShare, maxSize)
	}
	if err := v.makeImage(ctx, v.dirs.image(), size, v.cfg.Reserve, false); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(v.dirs.image()))
		}
	}()
	v.cfg.step("image")
	dev, err := attachLoop(v.dirs.image())
	if err != nil {
		return err
	}
	defer dev.close()
	v.cfg.step("attached")
	aside := filepath.Join(v.dirs.tmp(), "mnt")
	defer func() { err = errors.Join(err, sweepDir(aside)) }()
	if err := mountExt4(dev, aside, !v.cfg.Reserve); err != nil {
		return err
	}
	v.cfg.step("aside")
	key := make([]byte, masterKeySize)
	defer clear(key)
	rand.Read(key)
	if err := v.encryptDir(filepath.Join(aside, dataDir), key); err != nil {
		return err
	}
	if err := v.clearPlain(); err != nil {
		return err
	}
	if err := mountExt4(dev, v.dirs.mount(), !v.cfg.Reserve); err != nil {
		return err
	}
	v.cfg.step("mounted")
	return nil
}

// encryptDir makes a directory whose content is encrypted with key.
func (v *Vault) encryptDir(path string, key []byte) error {
	if err := makeDir(path, 0o711); err != nil {
		return err
	}
	v.cfg.step("directory")
	data, err := openDirectory(path)
	if err != nil {
		return err
	}
	defer data.Close()
	id, err := addKey(data, key)
	if err != nil {
		return err
	}
	v.cfg.step("key")
	if err := setPolicy(data, id); err != nil {
		return err
	}
	v.cfg.step("policy")
	return nil
}

// clear removes private storage of whatever kind, in whatever state. Pods that
// still use it keep what they have open, until they end.
func (v *Vault) clear() error { return errors.Join(v.clearMount(), v.clearPlain()) }

// clearMount removes storage that is mounted, and its image.
func (v *Vault) clearMount() error {
	l := v.dirs
	if mounted, err := isMount(l.mount()); err != nil {
		return err
	} else if mounted {
		dropKey(v.Path())
		v.cfg.step("dropped")
		if err := unmount(l.mount(), unix.MNT_DETACH); err != nil {
			return err
		}
		v.cfg.step("detached")
	}
	if err := os.Remove(l.image()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncDir(l.dir)
}

// clearPlain removes what a vault of kind none had. Nothing is mounted over it.
func (v *Vault) clearPlain() error {
	l := v.dirs
	if below, err := mountsBelow(l.mount()); err != nil {
		return err
	} else if len(below) > 0 {
		return status.New(status.Conflict, "vault.busy", "%s is mounted in plain storage that must go", below[0]).
			WithHint("stop its pods first, or unmount it")
	}
	if plain, err := os.ReadDir(v.Path()); err == nil && len(plain) > 0 {
		v.log.Warn("plain storage is removed; the disk may keep its content", "dir", l.mount())
	}
	return os.RemoveAll(l.mount())
}

// sweepDir removes a mount point, or an unfinished image.
func sweepDir(path string) error {
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		if err := unmount(path, unix.MNT_DETACH); err != nil {
			return err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// openMemory adopts the mounted memory, or mounts some.
func (v *Vault) openMemory(context.Context) error {
	l := v.dirs
	if typ, err := mountedType(l.mount()); err != nil || typ != unix.TMPFS_MAGIC {
		if err := v.clear(); err != nil {
			return err
		}
		if err := makeDir(l.mount(), 0o711); err != nil {
			return err
		}
		if err := mountMemory(l.mount(), v.cfg.Size); err != nil {
			return fmt.Errorf("mounting memory: %w", err)
		}
		v.cfg.step("mounted")
	} else if err := growMemory(l.mount(), v.cfg.Size); err != nil {
		v.log.Warn("private storage stays smaller than configured", "err", err)
	}
	return makeDir(v.Path(), 0o711)
}

// openPlain uses the mount point itself.
func (v *Vault) openPlain(context.Context) error {
	l := v.dirs
	if err := v.clearMount(); err != nil {
		return err
	}
	return errors.Join(makeDir(l.mount(), 0o711), makeDir(filepath.Join(l.mount(), dataDir), 0o711))
}
