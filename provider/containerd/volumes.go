package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

func checkSecret(at string, files map[string][]byte, bad func(field, got, want string)) {
	for _, f := range manifest.SecretFaults(at+"files", files) {
		bad(f.Field, f.Got, f.Want)
	}
}

// makeVolumes makes the volumes of an instance that are not there yet, and
// returns where they are. Owners are the users that mount each first.
func (r *Runtime) makeVolumes(ctx context.Context, s provider.InstanceSpec, rec *record, owners map[string]uint32) (map[string]string, error) {
	paths := map[string]string{}
	root := int(rec.UIDs)
	for _, v := range s.Volumes {
		var err error
		switch v.Kind {
		case manifest.EmptyDir:
			paths[v.Name] = r.dirs.emptyDir(s.ID, v.Name)
			err = errors.Join(mkdir(filepath.Dir(paths[v.Name]), 0o711, 0), mkdir(paths[v.Name], 0o777|os.ModeSticky, root))
		case manifest.Persistent:
			if paths[v.Name], err = r.cfg.Volumes.Open(ctx, volumeName(s.Pod, v.Name), v.Bytes); err == nil {
				err = giveAway(paths[v.Name], root)
			}
		case manifest.Secret:
			paths[v.Name] = r.dirs.secret(s.ID, v.Name)
			err = makeSecret(paths[v.Name], s.Secrets[v.Name], root+int(owners[v.Name]))
		}
		if err != nil {
			return nil, fmt.Errorf("making volume %q: %w", v.Name, err)
		}
	}
	return paths, nil
}

// giveAway makes a new volume its pod's own. What a pod has is left as it has
// made it.
func giveAway(path string, root int) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 {
		return nil
	}
	return errors.Join(mkdir(path, 0o777|os.ModeSticky, root), attendant.SyncDir(path))
}

// makeSecret mounts a file system in memory and writes the files into it.
func makeSecret(path string, files map[string][]byte, owner int) error {
	if err := errors.Join(mkdir(filepath.Dir(path), 0o711, 0), mkdir(path, 0o711, 0)); err != nil {
		return err
	}
	// Every file takes whole pages, and the directory some.
	size := manifest.MaxSecretBytes + manifest.MaxSecretFiles*os.Getpagesize() + 64<<10
	opts := fmt.Sprintf("mode=0500,uid=%d,gid=%d,size=%d,nr_inodes=%d", owner, owner, size, 2*manifest.MaxSecretFiles)
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	// noswap is known since Linux 6.3. Before, the pages may be swapped.
	err := unix.Mount("tmpfs", path, "tmpfs", flags, opts+",noswap")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("tmpfs", path, "tmpfs", flags, opts)
	}
	if err != nil {
		return fmt.Errorf("mounting memory: %w", err)
	}
	for name, data := range files {
		f, err := os.OpenFile(filepath.Join(path, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Chown(owner, owner), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// secretsHere tells whether the secrets of an instance are in memory: a reboot
// takes them.
func (r *Runtime) secretsHere(rec *record) bool {
	for _, v := range rec.Secrets {
		var st unix.Statfs_t
		if unix.Statfs(r.dirs.secret(rec.ID, v), &st) != nil || st.Type != unix.TMPFS_MAGIC {
			return false
		}
		if here, err := mount.Lookup(r.dirs.secret(rec.ID, v)); err != nil || here.Mountpoint != r.dirs.secret(rec.ID, v) {
			return false
		}
	}
	return true
}

// removeSecrets forgets the secrets of an instance.
func removeSecrets(l layout, id provider.InstanceID) error {
	dir := filepath.Join(l.secrets(), string(id))
	entries, err := os.ReadDir(dir)
	if !missing(err) {
		return err
	}
	var errs error
	for _, e := range entries {
		errs = errors.Join(errs, mount.UnmountAll(filepath.Join(dir, e.Name()), unix.MNT_DETACH))
	}
	if errs != nil {
		return fmt.Errorf("unmounting secrets: %w", errs)
	}
	return os.RemoveAll(dir)
}

// RemoveVolumes deletes a pod's persistent volumes. It is refused while an
// instance of the pod is here.
func (r *Runtime) RemoveVolumes(ctx context.Context, pod provider.PodID) error {
	if _, _, err := r.use(ctx, ""); err != nil {
		return err
	}
	if !safeName.MatchString(string(pod)) {
		return status.Invalid("pod.id", "the pod", []status.Fault{{Field: "pod", Got: strconv.Quote(string(pod)), Want: "a pod id"}})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.records {
		if rec.Pod == pod {
			return status.New(status.Conflict, "volume.used", "the volumes of pod %s are used by %s", pod, rec.ID)
		}
	}
	names, err := r.volumesOf(pod)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.cfg.Volumes.Remove(ctx, name); err != nil {
			return fmt.Errorf("deleting volumes of pod %s: %w", pod, err)
		}
	}
	return freeUIDRange(r.dirs, pod)
}

// volumesOf names the persistent volumes of a pod.
func (r *Runtime) volumesOf(pod provider.PodID) ([]string, error) {
	all, err := r.cfg.Volumes.List()
	if err != nil {
		return nil, fmt.Errorf("looking for volumes of pod %s: %w", pod, err)
	}
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, volumeName(pod, "")) }), nil
}
