package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"math"
	"strconv"
)

// Signatures and sizes of APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16.
const (
	localSig, localLen     = 0x04034b50, 30
	centralSig, centralLen = 0x02014b50, 46
	endSig, endLen         = 0x06054b50, 22
	end64Sig, end64Len     = 0x06064b50, 56
	locatorSig, locatorLen = 0x07064b50, 20

	// maxComment is the longest comment that may lie behind the end record.
	maxComment = math.MaxUint16
)

// Flags of an entry (4.4.4): encrypted in the old or the strong way, or with
// its header masked.
const encryptedFlags = 1 | 1<<6 | 1<<13

var le = binary.LittleEndian

// zipEntry is one record of the directory. The declared sizes are checked
// against the data.
type zipEntry struct {
	// name is what the entry is called; raw is the same as the file has it.
	name, raw            string
	method               uint16
	crc                  uint32
	packed, size, offset int64
	mode                 fs.FileMode
	hasMode              bool
}

// directory reads one record after another: archive/zip would hold all of
// them, as many as fit into the upload.
type directory struct {
	p     *part
	r     *bufio.Reader
	start int64
	count int64
	buf   []byte
	last  string
}

func (p *part) zipDamaged(entry, got string) error {
	return p.malformed(entry, got, "a zip as APPNOTE.TXT describes it")
}

// zipDirectory finds the directory. Nothing may lie between it and its end
// record, nor behind that but the comment: readers differ in where they look.
func (p *part) zipDirectory(f io.ReaderAt, size int64) (*directory, error) {
	tail := make([]byte, min(size, endLen+maxComment))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return nil, hostError("reading the zip", err)
	}
	at := len(tail) - endLen
	for ; at >= 0; at-- {
		if le.Uint32(tail[at:]) == endSig && at+endLen+int(le.Uint16(tail[at+20:])) == len(tail) {
			break
		}
	}
	if at < 0 {
		return nil, p.zipDamaged("", "no end of the directory")
	}
	end, pos := tail[at:], size-int64(len(tail)-at)
	count, length, start := int64(le.Uint16(end[10:])), int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	split := le.Uint16(end[4:]) != 0 || le.Uint16(end[6:]) != 0 || le.Uint16(end[8:]) != le.Uint16(end[10:])
	if count == math.MaxUint16 || length == math.MaxUint32 || start == math.MaxUint32 {
		var err error
		if count, length, start, pos, err = p.zipEnd64(f, pos); err != nil {
			return nil, err
		}
		split = false
	}
	switch {
	case split:
		return nil, p.refuse(ReasonUnsupported, "", "one disk of a zip on several", "a zip in one file")
	case start < 0 || length < 0 || start > pos || length != pos-start:
		return nil, p.zipDamaged("", "a directory that does not end where its end record begins")
	case count < 0 || count > int64(p.t.limits.Entries):
		return nil, p.tooLarge("", strconv.FormatInt(count, 10), int64(p.t.limits.Entries), "entries")
	}
	return &directory{
		p: p, start: start, count: count, buf: make([]byte, centralLen+2*math.MaxUint16),
		r: bufio.NewReaderSize(io.NewSectionReader(f, start, length), copyBytes),
	}, nil
}

// zipEnd64 reads the end record of large zips, which is at pos, the place
// where it begins, in its turn.
func (p *part) zipEnd64(f io.ReaderAt, end int64) (count, length, start, pos int64, err error) {
	var loc [locatorLen]byte
	if _, err := f.ReadAt(loc[:], end-locatorLen); err != nil || le.Uint32(loc[:]) != locatorSig {
		return 0, 0, 0, 0, p.zipDamaged("", "no zip64 locator")
	}
	pos = int64(le.Uint64(loc[8:]))
	var rec [end64Len]byte
	if pos < 0 || pos > end-locatorLen-end64Len {
		return 0, 0, 0, 0, p.zipDamaged("", "a zip64 end record outside of the file")
	}
	if _, err := f.ReadAt(rec[:], pos); err != nil || le.Uint32(rec[:]) != end64Sig {
		return 0, 0, 0, 0, p.zipDamaged("", "no zip64 end record")
	}
	if int64(le.Uint64(rec[4:])) != end-locatorLen-pos-12 || le.Uint64(rec[24:]) != le.Uint64(rec[32:]) {
		return 0, 0, 0, 0, p.zipDamaged("", "a zip64 end record that contradicts itself")
	}
	return int64(le.Uint64(rec[32:])), int64(le.Uint64(rec[40:])), int64(le.Uint64(rec[48:])), pos, nil
}

func (d *directory) next() (zipEntry, error) {
	p, b := d.p, d.buf[:centralLen]
	if _, err := io.ReadFull(d.r, b); err != nil || le.Uint32(b) != centralSig {
		return zipEntry{}, p.zipDamaged(d.last, "no directory record after this entry")
	}
	names, extras := int(le.Uint16(b[28:])), int(le.Uint16(b[30:]))
	if names > p.t.limits.PathBytes {
		return zipEntry{}, p.tooLarge(d.last, strconv.Itoa(names)+" bytes of name after this entry", int64(p.t.limits.PathBytes), "bytes")
	}
	rest := d.buf[centralLen : centralLen+names+extras]
	if _, err := io.ReadFull(d.r, rest); err != nil {
		return zipEntry{}, p.zipDamaged(d.last, "a directory that ends after this entry")
	}
	if _, err := d.r.Discard(int(le.Uint16(b[32:]))); err != nil {
		return zipEntry{}, p.zipDamaged(d.last, "a directory that ends after this entry")
	}
	e := zipEntry{
		raw: string(rest[:names]), method: le.Uint16(b[10:]), crc: le.Uint32(b[16:]),
		packed: int64(le.Uint32(b[20:])), size: int64(le.Uint32(b[24:])), offset: int64(le.Uint32(b[42:])),
	}
	e.name, d.last = e.raw, e.raw
	e.setMode(b[5], le.Uint32(b[38:]))
	if err := p.zipExtras(&e, rest[names:]); err != nil {
		return e, err
	}
	switch flags := le.Uint16(b[8:]); {
	case flags&encryptedFlags != 0:
		return e, p.refuse(ReasonUnsupported, e.name, "an encrypted entry", "one that anybody can read").WithHint("make the zip without a password; the connection is encrypted")
	case e.method != stored && e.method != deflated:
		return e, p.refuse(ReasonUnsupported, e.name, "compression method "+strconv.Itoa(int(e.method)), "0 (stored) or 8 (deflate)")
	case e.method == stored && e.packed != e.size:
		return e, p.zipDamaged(e.name, "a stored entry of two sizes")
	}
	return e, nil
}

// setMode reads the attributes of Unix (3) and macOS (19); others have no mode.
func (e *zipEntry) setMode(system byte, attributes uint32) {
	unixMode := attributes >> 16
	if (system != 3 && system != 19) || unixMode == 0 {
		if attributes&0x10 != 0 {
			e.mode = fs.ModeDir
		}
		return
	}
	e.hasMode, e.mode = true, fs.FileMode(unixMode&0o777)
	switch unixMode & 0o170000 {
	case 0, 0o100000:
	case 0o040000:
		e.mode |= fs.ModeDir
	case 0o120000:
		e.mode |= fs.ModeSymlink
	case 0o010000:
		e.mode |= fs.ModeNamedPipe
	case 0o140000:
		e.mode |= fs.ModeSocket
	default:
		e.mode |= fs.ModeDevice
	}
}

// end checks that the records fill the directory.
func (d *directory) end() error {
	if _, err := d.r.ReadByte(); err != io.EOF {
		return d.p.zipDamaged(d.last, "more records than entries are declared")
	}
	return nil
}

// zipLocal reads the header before an entry's data and returns where the data
// begin. It must tell what the directory tells: some readers go by it alone.
func (p *part) zipLocal(f io.ReaderAt, e zipEntry, end int64) (int64, error) {
	if e.offset < 0 || e.packed < 0 || e.offset > end-localLen {
		return 0, p.zipDamaged(e.name, "an entry outside of the file")
	}
	b := make([]byte, localLen+len(e.raw))
	if n, err := f.ReadAt(b, e.offset); n < localLen || le.Uint32(b) != localSig {
		if err != nil && err != io.EOF {
			return 0, hostError("reading the zip", err)
		}
		return 0, p.zipDamaged(e.name, "no header before its data")
	}
	start := e.offset + localLen + int64(le.Uint16(b[26:])) + int64(le.Uint16(b[28:]))
	switch {
	case int(le.Uint16(b[26:])) != len(e.raw) || !bytes.Equal(b[localLen:], []byte(e.raw)):
		return 0, p.unsafe(e.name, "another name before its data", "the name of the directory")
	case le.Uint16(b[8:]) != e.method || le.Uint16(b[6:])&encryptedFlags != 0:
		return 0, p.unsafe(e.name, "another method before its data", "the method of the directory")
	case start > end || e.packed > end-start:
		return 0, p.zipDamaged(e.name, "data outside of the file")
	}
	return start, nil
}
