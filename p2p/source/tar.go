package source

import (
	"archive/tar"
	"errors"
	"io"
	"strconv"
	"strings"
)

// tar adds the entries of a tar stream.
func (p *part) tar(r io.Reader) error {
	h := &headers{p: p, r: r}
	tr := tar.NewReader(h)
	last := ""
	for {
		if err := p.ctx(); err != nil {
			return err
		}
		h.n, h.left = 0, metaBytes
		hdr, err := tr.Next()
		if err == io.EOF {
			// What was read is the padding of the last entry, or more.
			if h.n < blockBytes {
				return p.malformed(last, "no end marker after this entry", "a whole archive")
			}
			break
		} else if err != nil {
			return p.tarError(last, err)
		}
		h.left = -1
		last = hdr.Name
		if err := p.tarEntry(hdr, tr); err != nil {
			return err
		}
	}
	// tar pads its last record with zeros, to 10 KiB by default. This also reads
	// the decompressor to the end, and so has its checksum checked.
	h.left = -1
	if err := onlyZeros(r, p.t.buf); err != nil {
		return p.tarError(last, err)
	}
	return nil
}

func (p *part) tarError(entry string, err error) error {
	if errors.Is(err, errTrailing) {
		return p.refuse(ReasonMalformed, entry, "something else after the end of the archive", "nothing but zeros").
			WithHint("archives joined by cat are not one archive: send each as a part of its own")
	}
	return p.broken(entry, err)
}

func (p *part) tarEntry(h *tar.Header, r io.Reader) error {
	if sparse(h) {
		return p.refuse(ReasonUnsupported, h.Name, "a sparse file", "a plain one").WithHint("make the archive without --sparse")
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return p.global(h)
	}
	name, err := p.clean(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag != tar.TypeDir && strings.HasSuffix(h.Name, "/") {
		return p.unsafe(h.Name, "a slash at the end", "one at the ends of directories alone")
	}
	switch h.Typeflag {
	case tar.TypeReg:
		if h.Size > p.t.limits.FileBytes {
			return p.tooLarge(h.Name, strconv.FormatInt(h.Size, 10)+" bytes", p.t.limits.FileBytes, "bytes of one file")
		}
		return p.file(name, r, execOf(h.FileInfo().Mode()))
	case tar.TypeDir:
		return p.dir(name)
	case tar.TypeSymlink:
		return p.symlink(name, h.Linkname)
	case tar.TypeLink:
		old, err := p.clean(h.Linkname)
		if err != nil {
			return err
		}
		return p.hardlink(name, old)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return p.unsafe(h.Name, kindOf(h.FileInfo().Mode()), "a file, a directory or a link")
	}
	return p.refuse(ReasonUnsupported, h.Name, "an entry of type "+strconv.QuoteRune(rune(h.Typeflag)), "a file, a directory or a link")
}

// sparse knows the old GNU format by its type, and the three of PAX by their records.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// global passes over a header for all entries, as git writes one, unless it
// would change names or sizes: GNU tar obeys it, and the reader here does not.
func (p *part) global(h *tar.Header) error {
	for k := range h.PAXRecords {
		switch k {
		case "path", "linkpath", "size", "hdrcharset":
			return p.unsafe("", "a global header with "+k, "names and sizes in the entries themselves")
		}
	}
	return nil
}

// headers is the reader below tar.Reader. While a header is read, it gives
// left bytes at most; n counts them. -1 is no limit.
type headers struct {
	p       *part
	r       io.Reader
	n, left int64
}

func (h *headers) Read(b []byte) (int, error) {
	if h.left < 0 {
		return h.r.Read(b)
	}
	if h.left == 0 {
		h.p.stop = h.p.tooLarge("", "more", metaBytes, "bytes of headers before one entry")
		return 0, h.p.stop
	}
	n, err := h.r.Read(b[:min(int64(len(b)), h.left)])
	h.n, h.left = h.n+int64(n), h.left-int64(n)
	return n, err
}
