package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

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
func (r *Runtime) makeVolumes(s provider.InstanceSpec, rec *record, owners map[string]uint32) (map[string]string, error) {
	paths := map[string]string{}
	root := int(rec.UIDs)
	for _, v := range s.Volumes {
		var err error
		switch v.Kind {
		case manifest.EmptyDir:
			paths[v.Name] = r.dirs.emptyDir(s.ID, v.Name)
			err = errors.Join(mkdir(filepath.Dir(paths[v.Name]), 0o711, 0), mkdir(paths[v.Name], 0o777|os.ModeSticky, root))
		case manifest.Persistent:
			paths[v.Name] = r.dirs.persistent(s.Pod, v.Name)
			err = makePersistent(paths[v.Name], root)
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

// makePersistent makes a volume that outlives its instances. What is there is
// left as its pod has made it.
func makePersistent(path string, root int) error {
	if err := mkdir(filepath.Dir(path), 0o711, 0); err != nil {
		return err
	}
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		if sys, ok := st.Sys().(*unix.Stat_t); !ok || sys.Uid != 0 {
			return nil
		}
	} else if err != nil && !missing(err) {
		return err
	}
	if err := mkdir(path, 0o777|os.ModeSticky, root); err != nil {
		return err
	}
	return errors.Join(attendant.SyncDir(filepath.Dir(path)), attendant.SyncDir(filepath.Dir(filepath.Dir(path))))
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
	if err := os.RemoveAll(filepath.Join(r.dirs.volumes(), string(pod))); err != nil {
		return fmt.Errorf("deleting volumes of pod %s: %w", pod, err)
	}
	return freeUIDRange(r.dirs, pod)
}
