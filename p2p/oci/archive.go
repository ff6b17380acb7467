package oci

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"apocryph/proto/status"
)

const (
	// maxEntries bounds the files of an archive: headers are cheap to make and each costs memory here.
	maxEntries = 1 << 16
	// maxArchive bounds, in bytes, what a compressed archive may unfold to while it is looked through.
	maxArchive = MaxImageSize + 1<<30
	// maxLinks bounds a chain of links: links may go in circles.
	maxLinks = 8
)

// tarEntry is a file of an archive: its place in the decompressed stream, or the file that it links to.
type tarEntry struct {
	offset, size int64
	link         string
}

// tarFiles is a tar archive, looked through once.
type tarFiles struct {
	path    string
	file    opener
	comp    compression
	entries map[string]tarEntry
}

func (t *tarFiles) where(name string) string { return t.path + "!" + name }

// openTar lists a tar archive, which may be compressed.
func openTar(ctx context.Context, file string) (*tarFiles, error) {
	return openTarOf(ctx, file, func() (archiveFile, error) {
		f, _, err := openRegular(file)
		return f, err
	})
}

// openTarOf lists a tar archive that errors call name.
func openTarOf(ctx context.Context, file string, open opener) (*tarFiles, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 6)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	comp, err := sniff(head[:n])
	if err != nil {
		return nil, status.New(status.InvalidArgument, "image.archive", "%s cannot be read: %v", file, err).WithHint("decompress the archive first")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	t := &tarFiles{path: file, file: open, comp: comp, entries: make(map[string]tarEntry)}
	if err := t.list(ctx, f); err != nil {
		return nil, err
	}
	return t, nil
}

// list fills entries. archive/tar reads header blocks only and seeks over the
// rest, so the position after Next is where the file's bytes begin.
func (t *tarFiles) list(ctx context.Context, f archiveFile) error {
	damaged := func(err error) error {
		return status.Wrap(err, status.InvalidArgument, "image.archive", "%s is no tar archive, or it is damaged or truncated", t.path)
	}
	position := func() (int64, error) { return f.Seek(0, io.SeekCurrent) }
	var in io.Reader = f
	if t.comp != plain {
		d, err := decompress(bufio.NewReaderSize(f, copyBuffer), t.comp)
		if err != nil {
			return damaged(err)
		}
		defer d.Close()
		c := &counter{r: d}
		position = func() (int64, error) { return c.n, nil }
		in = c
	}
	tr := tar.NewReader(in)
	for count := 0; ; count++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if count > maxEntries {
			return status.New(status.InvalidArgument, "image.archive", "%s has more than %d files", t.path, maxEntries)
		}
		hdr, err := tr.Next()
		if err == io.EOF && count == 0 {
			return damaged(errors.New("no entries"))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
		at, err := position()
		if err != nil {
			return fmt.Errorf("reading %s: %w", t.path, err)
		}
		if at > maxArchive {
			return status.New(status.InvalidArgument, "image.archive", "%s has more than %d bytes", t.path, int64(maxArchive))
		}
		name := within(hdr.Name)
		switch hdr.Typeflag {
		case tar.TypeReg:
			t.entries[name] = tarEntry{offset: at, size: hdr.Size}
		case tar.TypeSymlink:
			t.entries[name] = tarEntry{link: within(path.Join(path.Dir(name), hdr.Linkname))}
		case tar.TypeLink:
			t.entries[name] = tarEntry{link: within(hdr.Linkname)}
		}
	}
}

// find follows links: older docker versions link a layer that is there twice.
func (t *tarFiles) find(name string) (tarEntry, error) {
	name = within(name)
	for range maxLinks {
		e, ok := t.entries[name]
		if !ok {
			return tarEntry{}, fmt.Errorf("%s: %w", t.where(name), fs.ErrNotExist)
		}
		if e.link == "" {
			return e, nil
		}
		name = e.link
	}
	return tarEntry{}, status.New(status.InvalidArgument, "image.archive", "%s: too many links", t.where(name))
}

func (t *tarFiles) open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	e, err := t.find(name)
	if err != nil {
		return nil, 0, err
	}
	f, err := t.file()
	if err != nil {
		return nil, 0, err
	}
	if t.comp == plain {
		return &closers{Reader: io.NewSectionReader(f, e.offset, e.size), close: []io.Closer{f}}, e.size, nil
	}
	d, err := decompress(bufio.NewReaderSize(f, copyBuffer), t.comp)
	if err != nil {
		f.Close()
		return nil, 0, status.Wrap(err, status.InvalidArgument, "image.archive", "%s is damaged", t.path)
	}
	rc := &closers{Reader: io.LimitReader(d, e.size), close: []io.Closer{d, f}}
	if _, err := io.CopyN(io.Discard, until(ctx, d), e.offset); err != nil {
		rc.Close()
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		return nil, 0, status.Wrap(err, status.InvalidArgument, "image.archive", "%s is damaged or truncated", t.path)
	}
	return rc, e.size, nil
}
