package artifacts

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"apocryph/proto/status"
)

// disk is the directory of a store. Every operation that changes it is
// announced to step first, which tests use to stop or fail at each of them.
type disk struct {
	root *os.Root
	step func(op, name string) error
}

func openDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &disk{root: root, step: func(string, string) error { return nil }}, nil
}

func (d *disk) mkdir(name string) error {
	if err := d.step("mkdir", name); err != nil {
		return err
	}
	if err := d.root.Mkdir(name, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return d.syncDir(".")
}

func (d *disk) create(name string) (*os.File, error) {
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	return d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (d *disk) sync(f *os.File, name string) error {
	if err := d.step("sync", name); err != nil {
		return err
	}
	return f.Sync()
}

func (d *disk) syncDir(name string) error {
	if err := d.step("syncdir", name); err != nil {
		return err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// replace puts a whole new file in the place of name, or leaves the old one.
func (d *disk) replace(dir, name string, content []byte) (err error) {
	path, temp := dir+"/"+name, dir+"/"+name+tempSuffix
	f, err := d.create(temp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.remove(temp))
		}
	}()
	if err = d.step("write", temp); err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = d.sync(f, temp)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = d.step("rename", path); err != nil {
		return err
	}
	if err = d.root.Rename(temp, path); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// remove removes a file or a directory with all that is in it.
func (d *disk) remove(name string) error {
	if err := d.step("remove", name); err != nil {
		return err
	}
	return d.root.RemoveAll(name)
}

// names lists a directory; one that is not there is empty.
func (d *disk) names(dir string) ([]string, error) {
	f, err := d.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// classed gives the errors of a full disk their class.
func classed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return status.Wrap(err, status.ResourceExhausted, "artifact.disk_full", "the provider's disk is full").
			WithHint("delete artifacts that no app needs, or ask the operator for space")
	}
	return err
}
