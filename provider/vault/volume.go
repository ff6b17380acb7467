package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// Volume is storage that outlives the machine's reboots.
type Volume struct {
	// Path is the volume's directory. Who uses it sets its owner and mode, which
	// stay; it is made as root's, 0711.
	Path string
	// Kind is FSCrypt, or None in a vault of that kind.
	Kind Kind
	// Size is the quota, file system overhead included, in bytes; 0 is no limit.
	Size int64
	// Created reports that the volume was not there before, or never got as far
	// as being used. A caller that knows better has lost it.
	Created bool
}

// minKey and maxKey bound a caller's key, in bytes.
const (
	minKey = 32
	maxKey = 64
)

// volumeKeyInfo binds keys of volumes to this use and to their names.
const volumeKeyInfo = "apocryph/vault/volume/1\x00"

// Volume opens the volume of a name, or makes it, with size bytes that are
// reserved on the disk. The key has 32 to 64 bytes, is not kept, and is bound
// to the name. Another key than the volume was made with is refused
// (permission_denied, "vault.key"). A larger size grows the volume, also while
// it is used; a smaller one is refused ("vault.shrink"). Sizes below 16 MiB are
// taken as 16 MiB.
//
// A volume that is open stays so, also when the provider ends: see
// [Vault.CloseVolume]. In a vault of kind none volumes are plain directories:
// neither key nor size has an effect, which Kind tells.
func (v *Vault) Volume(ctx context.Context, name string, key []byte, size int64) (Volume, error) {
	if err := checkVolume(name, key, size); err != nil {
		return Volume{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(ctx); err != nil {
		return Volume{}, err
	}
	open := v.openVolume
	if v.kind == None {
		open = v.openPlainVolume
	}
	vol, err := open(ctx, name, key, max(roundSize(size), minSize))
	if err != nil {
		return Volume{}, fmt.Errorf("opening volume %q: %w", name, err)
	}
	return vol, nil
}

func checkVolume(name string, key []byte, size int64) error {
	var faults []status.Fault
	if !volumeName.MatchString(name) {
		faults = append(faults, status.Fault{Field: "name", Got: strconv.Quote(name), Want: "letters, digits and ._-"})
	}
	if len(key) < minKey || len(key) > maxKey {
		faults = append(faults, status.Fault{Field: "key", Got: bytesText(int64(len(key))), Want: "32 to 64 bytes"})
	}
	if size <= 0 || size > maxSize {
		faults = append(faults, status.Fault{Field: "size", Got: bytesText(size), Want: "1 to " + bytesText(maxSize)})
	}
	if faults != nil {
		return status.Invalid("vault.volume", "the volume", faults)
	}
	return nil
}

func (v *Vault) openVolume(ctx context.Context, name string, key []byte, size int64) (_ Volume, err error) {
	image, mount := v.dirs.volumeImage(name), v.dirs.volumeMount(name)
	vol := Volume{Path: mount + "/" + dataDir, Kind: FSCrypt}
	master, err := hkdf.Key(sha256.New, key, nil, volumeKeyInfo+name, masterKeySize)
	if err != nil {
		return vol, err
	}
	defer clear(master)
	if _, err := os.Lstat(image); errors.Is(err, os.ErrNotExist) {
		if err := v.refusePlain(name); err != nil {
			return vol, err
		}
		if err := v.makeImage(ctx, image, size, true, true); err != nil {
			return vol, err
		}
		v.cfg.step("volume image")
	} else if err != nil {
		return vol, err
	}
	dev, err := v.volumeLoop(name)
	if err != nil {
		return vol, err
	}
	defer dev.close()
	now, err := ext4Size(dev.f)
	if err != nil {
		return vol, damaged(err)
	}
	before, err := mountedDevice(mount)
	if err != nil {
		return vol, err
	}
	if err := mountExt4(dev, mount, false); errors.Is(err, unix.EUCLEAN) || errors.Is(err, unix.EBADMSG) || errors.Is(err, unix.EINVAL) {
		return vol, damaged(err)
	} else if err != nil {
		return vol, err
	}
	v.cfg.step("volume mounted")
	defer func() {
		// What was open before stays so.
		if err != nil && before != dev.rdev {
			err = errors.Join(err, v.unmountVolume(name))
		}
	}()
	if vol.Created, err = v.unlockVolume(vol.Path, master); err != nil {
		return vol, err
	}
	vol.Size = max(now, size)
	if size < now {
		return vol, noShrink(size, now)
	}
	if err := v.growImage(image, dev, mount, size, true); err != nil {
		return vol, err
	}
	return vol, v.hold(name, vol.Path)
}

// volumeLoop returns the device of a volume's image, which is attached if it is
// not.
func (v *Vault) volumeLoop(name string) (*loop, error) {
	dev, err := findLoop(v.dirs.volumeImage(name))
	if errors.Is(err, errNotAttached) {
		return attachLoop(v.dirs.volumeImage(name))
	}
	return dev, err
}

// hold keeps a volume's directory open.
func (v *Vault) hold(name, path string) error {
	if v.volumes[name] != nil {
		return nil
	}
	data, err := openDirectory(path)
	if err != nil {
		return err
	}
	v.volumes[name] = data
	return nil
}

// unlockVolume gives the kernel the key of a mounted volume, if it is the right
// one. A volume without content gets the key, for good.
func (v *Vault) unlockVolume(path string, master []byte) (created bool, err error) {
	data, err := openDirectory(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, v.encryptDir(path, master)
	} else if err != nil {
		return false, damaged(err)
	}
	defer data.Close()
	id, err := policyOf(data)
	if errors.Is(err, errNoPolicy) {
		// The disk's owner may have made this directory: nothing is taken from it.
		if names, readErr := data.Readdirnames(1); len(names) > 0 || readErr == nil {
			return false, damaged(err)
		}
		return true, v.encryptDir(path, master)
	} else if errors.Is(err, errOtherPolicy) {
		return false, damaged(err)
	} else if err != nil {
		return false, err
	}
	if same, err := sameKey(master, id); err != nil {
		return false, err
	} else if !same {
		return false, status.New(status.PermissionDenied, "vault.key", "the key is not the one that the volume was made with").
			WithHint("give the key of its first deployment, or remove the volume")
	}
	got, err := addKey(data, master)
	if err != nil {
		return false, err
	}
	if got != id {
		return false, errors.New("the kernel names the key otherwise")
	}
	return false, nil
}

// CloseVolume unmounts a volume, and the kernel forgets its key. It is refused
// (conflict, "vault.busy") while something uses it. A volume that is not open,
// or not there, is no error.
func (v *Vault) CloseVolume(ctx context.Context, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closeVolume(ctx, name)
}

func (v *Vault) closeVolume(ctx context.Context, name string) error {
	if !volumeName.MatchString(name) {
		return checkVolume(name, make([]byte, minKey), 1)
	}
	if err := v.usable(ctx); err != nil {
		return err
	}
	if err := v.unmountVolume(name); err != nil {
		return fmt.Errorf("closing volume %q: %w", name, err)
	}
	return nil
}

func (v *Vault) unmountVolume(name string) error {
	held := v.volumes[name]
	if held != nil {
		if err := held.Close(); err != nil {
			return err
		}
		delete(v.volumes, name)
	}
	err := unmount(v.dirs.volumeMount(name), 0)
	if err != nil && held != nil {
		return errors.Join(err, v.hold(name, v.dirs.volumeMount(name)+"/"+dataDir))
	}
	return err
}

// RemoveVolume closes a volume and deletes it. What is not there is no error.
func (v *Vault) RemoveVolume(ctx context.Context, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.closeVolume(ctx, name); err != nil {
		return err
	}
	v.cfg.step("volume unmounted")
	if err := v.removeVolume(name); err != nil {
		return fmt.Errorf("removing volume %q: %w", name, err)
	}
	return nil
}

func (v *Vault) removeVolume(name string) error {
	if below, err := mountsBelow(v.dirs.volumeMount(name)); err != nil {
		return err
	} else if len(below) > 0 {
		return status.New(status.Conflict, "vault.busy", "%s is mounted in the volume", below[0])
	}
	if err := os.Remove(v.dirs.volumeImage(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	v.cfg.step("volume deleted")
	return errors.Join(os.RemoveAll(v.dirs.volumeMount(name)), syncDir(v.dirs.images()), syncDir(v.dirs.mounts()))
}

// Volumes lists the volumes that are here, open or not, in order.
func (v *Vault) Volumes() ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	images, err := os.ReadDir(v.dirs.images())
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	var names []string
	for _, e := range images {
		if name, ok := strings.CutSuffix(e.Name(), imageSuffix); ok {
			names = append(names, name)
		}
	}
	// A plain volume has no image, but a directory with content.
	mounts, err := os.ReadDir(v.dirs.mounts())
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	for _, e := range mounts {
		if _, err := os.Lstat(v.dirs.volumeMount(e.Name()) + "/" + dataDir); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// VolumeBytes is what the images of the volumes that are here take of the disk,
// in bytes. Plain volumes have none.
func (v *Vault) VolumeBytes() (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	images, err := os.ReadDir(v.dirs.images())
	if err != nil {
		return 0, fmt.Errorf("looking at volumes: %w", err)
	}
	var sum int64
	for _, e := range images {
		st, err := e.Info()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, fmt.Errorf("looking at volumes: %w", err)
		} else if err == nil {
			sum += st.Size()
		}
	}
	return sum, nil
}

// openPlainVolume opens a directory.
func (v *Vault) openPlainVolume(_ context.Context, name string, _ []byte, _ int64) (Volume, error) {
	mount := v.dirs.volumeMount(name)
	vol := Volume{Path: mount + "/" + dataDir, Kind: None}
	if _, err := os.Lstat(v.dirs.volumeImage(name)); err == nil {
		return vol, otherKind(FSCrypt)
	}
	if _, err := os.Lstat(vol.Path); errors.Is(err, os.ErrNotExist) {
		vol.Created = true
	} else if err != nil {
		return vol, err
	}
	if !vol.Created {
		return vol, nil
	}
	return vol, errors.Join(makeDir(mount, 0o711), makeDir(vol.Path, 0o711), syncDir(mount), syncDir(v.dirs.mounts()))
}

// refusePlain refuses to hide a plain volume below an encrypted one.
func (v *Vault) refusePlain(name string) error {
	if _, err := os.Lstat(v.dirs.volumeMount(name) + "/" + dataDir); err == nil {
		return otherKind(None)
	}
	return nil
}

func otherKind(k Kind) error {
	return status.New(status.Conflict, "vault.kind", "the volume was made with storage of kind %s", k).
		WithHint("open the storage as that kind, or remove the volume")
}

func damaged(cause error) error {
	return status.Wrap(cause, status.Conflict, "vault.damaged", "the volume's image is damaged, or was made by somebody else").
		WithHint("repair it with e2fsck, or remove the volume")
}
