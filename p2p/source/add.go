package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
)

// Kind is what a part was by its content.
type Kind string

// The kinds.
const (
	KindTar    Kind = "tar"
	KindTarGz  Kind = "tar.gz"
	KindTarZst Kind = "tar.zst"
	KindZip    Kind = "zip"
	KindFile   Kind = "file"
)

// part is one call of Add.
type part struct {
	t      *Tree
	ctx    func() error
	number uint32
	name   string
	src    *upload
	// zstd is the decoder that the kind was told by: its window is used again.
	zstd *unzstd
	// stop is the limit that ended a decompressed stream.
	stop error
	// bytes is what this part has added to the tree.
	bytes int64
}

// String names the part in errors.
func (p *part) String() string {
	return "part " + strconv.Itoa(int(p.number)) + " (" + quote(p.name) + ")"
}

// Add reads r to its end and adds what is in it. The kind is told by content:
// filename is used for errors, and as the name of a single file, by its last
// component. A refusal ends the tree and removes it, and every later call
// returns the same error. r blocks as it likes: ctx is looked at between reads.
func (t *Tree) Add(ctx context.Context, filename string, r io.Reader) (Kind, error) {
	if t.end != nil {
		return "", t.end
	}
	if t.strip > 0 {
		return "", errors.New("adding to a tree after its components were stripped")
	}
	t.parts++
	t.checked = false
	p := &part{t: t, ctx: ctx.Err, number: uint32(t.parts), name: filename}
	p.src = &upload{p: p, r: r, left: t.limits.stream()}
	kind, err := p.add()
	if p.zstd != nil {
		p.zstd.Close()
	}
	if err != nil {
		return "", t.fail(err)
	}
	return kind, nil
}

func (p *part) add() (Kind, error) {
	br := bufio.NewReaderSize(p.src, headBytes)
	head, err := br.Peek(headBytes)
	if err != nil && err != io.EOF {
		return "", p.broken("", err)
	}
	kind, err := p.detect(head)
	if err != nil {
		return "", err
	}
	switch kind {
	case KindTar:
		return kind, p.tar(&expanded{p: p, r: br})
	case KindTarGz:
		return kind, p.tar(&expanded{p: p, r: &gunzip{br: br}})
	case KindTarZst:
		if err := p.zstd.Reset(br); err != nil {
			return "", p.broken("", err)
		}
		return kind, p.tar(&expanded{p: p, r: p.zstd})
	case KindZip:
		return kind, p.zip(br)
	}
	return kind, p.single(br)
}

// single stores a part that is no archive.
func (p *part) single(r io.Reader) error {
	name := base(p.name)
	if name == "." || name == ".." || name == "" {
		return p.unsafe(p.name, "no file name", "a file name for what is no tar and no zip")
	}
	name, err := p.clean(name)
	if err != nil {
		return err
	}
	return p.file(name, r, execByContent)
}

// upload is the reader of a part. Its own error is remembered, because
// decoders replace it by theirs.
type upload struct {
	p *part
	r io.Reader
	// n counts what was read, left what may still come.
	n, left int64
	err     error
}

func (u *upload) Read(b []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.err = u.p.ctx(); u.err != nil {
		return 0, u.err
	}
	n, err := u.r.Read(b)
	u.n, u.left, u.err = u.n+int64(n), u.left-int64(n), err
	if u.left < 0 {
		u.err = u.p.tooLarge("", "more", u.p.t.limits.stream(), "bytes of upload")
		return 0, u.err
	}
	return n, u.err
}

// expanded counts what comes out of a decompressor, before anything is made of it.
type expanded struct {
	p *part
	r io.Reader
	n int64
}

func (e *expanded) Read(b []byte) (int, error) {
	if e.p.stop != nil {
		return 0, e.p.stop
	}
	n, err := e.r.Read(b)
	e.n += int64(n)
	if max := e.p.t.limits.stream(); e.n > max {
		e.p.stop = e.p.tooLarge("", "more", max, "bytes expanded")
	} else {
		e.p.stop = e.p.ratio("", e.n)
	}
	if e.p.stop != nil {
		return 0, e.p.stop
	}
	return n, err
}

// ratio refuses a part that becomes n bytes and is too small for that.
func (p *part) ratio(entry string, n int64) error {
	if n <= ratioFrom || n/int64(p.t.limits.Ratio) <= p.src.n {
		return nil
	}
	return p.refuse(ReasonTooLarge, entry, strconv.FormatInt(n, 10)+" bytes out of "+strconv.FormatInt(p.src.n, 10),
		"at most "+strconv.Itoa(p.t.limits.Ratio)+" out of each").WithHint("files of zeros and the like are better made where the app runs")
}

// charge counts n more bytes of the file entry, which has size bytes then,
// before they are written.
func (p *part) charge(entry string, n int, size int64) error {
	l := p.t.limits
	if size > l.FileBytes {
		return p.tooLarge(entry, "more", l.FileBytes, "bytes of one file")
	}
	p.bytes += int64(n)
	p.t.bytes += int64(n)
	if p.t.bytes > l.Bytes {
		return p.tooLarge(entry, "more", l.Bytes, "bytes of all files")
	}
	return p.ratio(entry, p.bytes)
}

// copy moves r to dst and returns its first bytes.
func (p *part) copy(dst io.Writer, entry string, r io.Reader) ([]byte, error) {
	var head bytes.Buffer
	for size := int64(0); ; {
		n, err := r.Read(p.t.buf)
		if n > 0 {
			if err := p.ctx(); err != nil {
				return nil, err
			}
			size += int64(n)
			if err := p.charge(entry, n, size); err != nil {
				return nil, err
			}
			head.Write(p.t.buf[:min(n, max(0, magicBytes-head.Len()))])
			if _, err := dst.Write(p.t.buf[:n]); err != nil {
				return nil, hostError("writing "+quote(entry), err)
			}
		}
		if err == io.EOF {
			return head.Bytes(), nil
		} else if err != nil {
			return nil, p.broken(entry, err)
		}
	}
}
