package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// magicBytes is how much of a file tells that it is a program.
const magicBytes = 4

const blockBytes = 512

// refused are formats that would be stored as one useless file if they were
// taken for one.
var refused = []struct{ magic, name string }{
	{"\xfd7zXZ\x00", "xz"},
	{"BZh", "bzip2"},
	{"7z\xbc\xaf\x27\x1c", "7z"},
	{"Rar!\x1a\x07", "rar"},
	{"\x04\x22\x4d\x18", "lz4"},
	{"LZIP\x01", "lzip"},
}

// detect tells the kind of a part by its first bytes. A compressed stream is
// an archive only when a tar is in it: a site's app.js.gz stays as it is.
func (p *part) detect(head []byte) (Kind, error) {
	for _, f := range refused {
		if bytes.HasPrefix(head, []byte(f.magic)) && (f.name != "bzip2" || isBzip2(head)) {
			return "", p.refuse(ReasonUnsupported, "", "data in the format "+f.name, "tar, tar.gz, tar.zst, zip or a single file").
				WithHint("send it as tar.gz or tar.zst; to keep a %s file as it is, put it into a tar", f.name)
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return KindZip, nil
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return p.within(KindTarGz, &gunzip{br: bufio.NewReader(bytes.NewReader(head))}, len(head) < headBytes)
	case isZstd(head):
		z, err := newZstd(bytes.NewReader(head))
		if err != nil {
			return "", p.broken("", err)
		}
		p.zstd = z
		kind, err := p.within(KindTarZst, z, len(head) < headBytes)
		if z.tooWide() {
			return "", p.refuse(ReasonUnsupported, "", "zstd with a window of more than "+strconv.Itoa(zstdWindow)+" bytes", "a smaller window").
				WithHint("compress with zstd -19 or less, and without --long and --ultra")
		}
		return kind, err
	case isTar(head):
		return KindTar, nil
	}
	return KindFile, nil
}

// isBzip2 checks the level, and the number of the first block (pi) or of the
// end (the square root of pi): three letters alone may begin a text.
func isBzip2(head []byte) bool {
	return len(head) >= 10 && head[3] >= '1' && head[3] <= '9' &&
		(string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90")
}

// isZstd knows frames and skippable frames (RFC 8878, 3.1.1 and 3.1.2).
func isZstd(head []byte) bool {
	return len(head) >= 4 && (string(head[:4]) == "\x28\xb5\x2f\xfd" || head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18")
}

// within tells whether a compressed stream is the given kind of archive or a
// file of its own. Where all of it was seen, it must decompress: what is left
// of an archive is not to be served as a file.
func (p *part) within(kind Kind, r io.Reader, all bool) (Kind, error) {
	var block [blockBytes]byte
	for n := 0; n < len(block); {
		m, err := r.Read(block[n:])
		n += m
		switch {
		case n == len(block) || err == nil:
		case all && err != io.EOF && !errors.Is(err, errTrailing):
			return "", p.broken("", err)
		default:
			return KindFile, nil
		}
	}
	if isTar(block[:]) {
		return kind, nil
	}
	return KindFile, nil
}

// isTar knows the magic of POSIX and GNU, and the older format, which has
// none, by its checksum: the sum of the header's bytes, with blanks in its own
// place, in octal.
func isTar(head []byte) bool {
	if len(head) < blockBytes {
		return false
	}
	head = head[:blockBytes]
	if string(head[257:262]) == "ustar" {
		return true
	}
	field := strings.Trim(string(head[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 32)
	if err != nil || head[0] == 0 {
		return false
	}
	sum, signed := int64(0), int64(0)
	for i, b := range head {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum, signed = sum+int64(b), signed+int64(int8(b))
	}
	return sum == want || signed == want
}

// isProgram knows what Linux executes: ELF, and scripts that name their interpreter.
func isProgram(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x7fELF")) || bytes.HasPrefix(head, []byte("#!"))
}
