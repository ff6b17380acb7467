package build

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"apocryph/manifest/dockerfile"
	"apocryph/proto/status"
)

// lined is the files of an image whose errors name the line of the Dockerfile that
// wants it: layers come when they are read.
type lined struct {
	fs.FS
	want dockerfile.Image
}

// Open implements [fs.FS].
func (l lined) Open(name string) (fs.File, error) {
	f, err := l.FS.Open(name)
	if err != nil {
		return nil, l.say(err)
	}
	if dir, ok := f.(fs.ReadDirFile); ok {
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return dir, nil
		}
	}
	return linedFile{f, l}, nil
}

// ReadDir and Stat implement [fs.ReadDirFS] and [fs.StatFS]: nothing is fetched for them.
func (l lined) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(l.FS, name) }
func (l lined) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(l.FS, name) }

func (l lined) say(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return status.Wrap(err, imageClass(err), "build.image", "line %d: the image %.120q cannot be had: %s", l.want.Line, l.want.Name, status.Public(err).Detail)
}

type linedFile struct {
	fs.File
	from lined
}

func (f linedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err != nil && err != io.EOF {
		err = f.from.say(err)
	}
	return n, err
}

// imageClass is that of a build whose image cannot be had: what is wrong with the
// name or the image is wrong with the Dockerfile, the rest may be better tomorrow.
func imageClass(err error) status.Code {
	switch c := status.CodeOf(err); c {
	case status.InvalidArgument, status.NotFound, status.PermissionDenied:
		return status.InvalidArgument
	}
	return status.Unavailable
}
