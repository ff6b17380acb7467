package source

import (
	"bufio"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/flate"
)

// The compression methods that are read (APPNOTE 4.4.5).
const (
	stored   = 0
	deflated = 8
)

// zip adds the entries of a zip. Its directory is at its end, so it goes
// through a file first, which has no name and is gone with the process.
func (p *part) zip(r io.Reader) error {
	f, err := os.CreateTemp(p.t.staging, "zip-")
	if err != nil {
		return hostError("keeping the zip", err)
	}
	defer f.Close()
	if err := os.Remove(filepath.Join(p.t.staging, filepath.Base(f.Name()))); err != nil {
		return hostError("keeping the zip", err)
	}
	for {
		n, err := r.Read(p.t.buf)
		if _, err := f.Write(p.t.buf[:n]); err != nil {
			return hostError("keeping the zip", err)
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return p.broken("", err)
		}
	}
	d, err := p.zipDirectory(f, p.src.n)
	if err != nil {
		return err
	}
	z := &unzip{p: p, f: f, data: bufio.NewReaderSize(nil, copyBytes)}
	for range d.count {
		if err := p.ctx(); err != nil {
			return err
		}
		e, err := d.next()
		if err != nil {
			return err
		}
		if err := z.entry(e, d.start); err != nil {
			return err
		}
	}
	return d.end()
}

// unzip reads the contents of entries.
type unzip struct {
	p    *part
	f    *os.File
	data *bufio.Reader
	z    io.ReadCloser
	// used is what the entries so far take of the file. More than there is
	// means that they overlap, as in a bomb of many names for the same bytes.
	used int64
}

func (z *unzip) entry(e zipEntry, end int64) error {
	p := z.p
	name, err := p.clean(e.name)
	if err != nil {
		return err
	}
	const want = "a file, a directory or a link"
	isDir := strings.HasSuffix(e.name, "/")
	switch t := e.mode.Type(); {
	case t&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket|fs.ModeIrregular) != 0:
		return p.unsafe(e.name, kindOf(e.mode), want)
	case t == fs.ModeDir:
		isDir = true
	case t == fs.ModeSymlink && isDir:
		return p.unsafe(e.name, "a slash at the end", "one at the ends of directories alone")
	}
	if isDir {
		if e.size != 0 {
			return p.unsafe(e.name, "a directory with contents", want)
		}
		return p.dir(name)
	}
	r, err := z.open(e, end)
	if err != nil {
		return err
	}
	if e.mode.Type() == fs.ModeSymlink {
		target, err := io.ReadAll(io.LimitReader(r, int64(p.t.limits.PathBytes)+1))
		if err != nil {
			return p.broken(e.name, err)
		}
		return p.symlink(name, string(target))
	}
	x := execByContent
	if e.hasMode {
		x = execOf(e.mode)
	}
	return p.file(name, r, x)
}

// open returns a reader of one entry's contents. It gives no byte more than
// the directory declares, and an error where there are more, fewer or others.
func (z *unzip) open(e zipEntry, end int64) (io.Reader, error) {
	p := z.p
	if max := p.t.limits.FileBytes; e.size > max {
		return nil, p.tooLarge(e.name, strconv.FormatInt(e.size, 10)+" bytes", max, "bytes of one file")
	}
	start, err := p.zipLocal(z.f, e, end)
	if err != nil {
		return nil, err
	}
	z.used += start - e.offset + e.packed
	if z.used > end {
		return nil, p.unsafe(e.name, "entries that overlap", "each entry in a place of its own")
	}
	z.data.Reset(io.NewSectionReader(z.f, start, e.packed))
	r := &checked{p: p, e: e, r: z.data, rest: z.data, left: e.size}
	if e.method == deflated {
		if z.z == nil {
			z.z = flate.NewReader(z.data)
		} else if err := z.z.(flate.Resetter).Reset(z.data, nil); err != nil {
			return nil, p.broken(e.name, err)
		}
		r.r = z.z
	}
	return r, nil
}

// checked compares what comes out with what was declared.
type checked struct {
	p    *part
	e    zipEntry
	r    io.Reader
	rest *bufio.Reader
	left int64
	sum  uint32
}

func (c *checked) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.left -= int64(n)
	if c.left < 0 {
		return 0, c.p.malformed(c.e.name, "more bytes than the directory declares", strconv.FormatInt(c.e.size, 10))
	}
	c.sum = crc32.Update(c.sum, crc32.IEEETable, b[:n])
	if err != io.EOF {
		return n, err
	}
	if c.left > 0 {
		return n, c.p.malformed(c.e.name, "fewer bytes than the directory declares", strconv.FormatInt(c.e.size, 10))
	}
	if _, more := c.rest.ReadByte(); more != io.EOF {
		return n, c.p.malformed(c.e.name, "something after the end of its data", "nothing")
	}
	if c.sum != c.e.crc {
		return n, c.p.malformed(c.e.name, "CRC-32 "+strconv.FormatUint(uint64(c.sum), 16), strconv.FormatUint(uint64(c.e.crc), 16))
	}
	return n, io.EOF
}
