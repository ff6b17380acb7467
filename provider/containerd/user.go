package containerd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// maxAccounts bounds /etc/passwd and /etc/group of a stranger's image.
const maxAccounts = 1 << 20

// userOf resolves the USER of an image (OCI image-spec, config.md: user, uid,
// user:group and so on) with the accounts that the image holds. The ids are
// those inside the container.
func userOf(ctx context.Context, snaps snapshots.Snapshotter, view string, img *image) (specs.User, error) {
	want := img.config.User
	if want == "" || want == "0" || want == "root" || want == "0:0" {
		return specs.User{}, nil
	}
	var passwd, group []byte
	mounts, err := snaps.View(ctx, view, img.top())
	if err != nil {
		return specs.User{}, err
	}
	err = mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		var err error
		if passwd, err = readAccounts(root, "etc/passwd"); err != nil {
			return err
		}
		group, err = readAccounts(root, "etc/group")
		return err
	})
	if rmErr := snaps.Remove(context.WithoutCancel(ctx), view); rmErr != nil && !errdefs.IsNotFound(rmErr) {
		err = errors.Join(err, rmErr)
	}
	if err != nil {
		return specs.User{}, err
	}
	u, err := user.GetExecUser(want, &user.ExecUser{}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return specs.User{}, status.Invalid("image.user", "the image", []status.Fault{
			{Field: "config.User", Got: strconv.Quote(want), Want: "a user that the image's /etc/passwd has"},
		})
	}
	out := specs.User{}
	for _, id := range append([]int{u.Uid, u.Gid}, u.Sgids...) {
		if id < 0 || id >= rangeSize {
			return specs.User{}, status.Invalid("image.user", "the image", []status.Fault{
				{Field: "config.User", Got: strconv.Itoa(id), Want: "user and group ids below 65536"},
			})
		}
	}
	out.UID, out.GID = uint32(u.Uid), uint32(u.Gid)
	for _, g := range u.Sgids {
		out.AdditionalGids = append(out.AdditionalGids, uint32(g))
	}
	return out, nil
}

// readAccounts reads a small regular file of an image. Links are followed
// inside root only, and what is not a regular file is not opened: a pipe would
// never answer, a device might do something.
func readAccounts(root, name string) ([]byte, error) {
	path, err := fs.RootPath(root, name)
	if err != nil {
		return nil, nil //nolint:nilerr // a link to nowhere is no file of accounts
	}
	st, err := os.Lstat(path)
	if err != nil || !st.Mode().IsRegular() {
		return nil, nil //nolint:nilerr // the same
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxAccounts))
}
