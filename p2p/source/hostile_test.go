package source_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// tiny are limits that small archives reach.
var tiny = source.Limits{Bytes: 4 << 20, Entries: 20, PathBytes: 300, Depth: 5, Ratio: 50, FileBytes: 3 << 20}

// hostile has every refusal; the fuzzer starts from it, too.
type hostile struct {
	name   string
	parts  [][]byte
	reason string
	// says are words that the detail must have.
	says []string
}

func one(t testing.TB, h tar.Header, body string) []byte {
	t.Helper()
	if h.Typeflag == 0 {
		h.Typeflag, h.Size = tar.TypeReg, int64(len(body))
	}
	return rawTar(t, []*tar.Header{&h}, body)
}

// patch returns a copy of data with old replaced by a text of the same length.
func patch(t testing.TB, data []byte, old, now string, times int) []byte {
	t.Helper()
	if len(old) != len(now) || bytes.Count(data, []byte(old)) < times {
		t.Fatalf("cannot patch %q", old)
	}
	return bytes.Replace(data, []byte(old), []byte(now), times)
}

// retar changes one header byte range of the first block and mends its checksum.
func retar(data []byte, at int, now string) []byte {
	data = append([]byte(nil), data...)
	copy(data[at:], now)
	copy(data[148:156], "        ")
	sum := 0
	for _, b := range data[:512] {
		sum += int(b)
	}
	for i := 5; i >= 0; i-- {
		data[148+i] = '0' + byte(sum&7)
		sum >>= 3
	}
	data[154], data[155] = 0, ' '
	return data
}

func tarCases(t testing.TB) []hostile {
	a := makeTar(t, file("a", "body"))
	pax := func(records map[string]string) []byte {
		return one(t, tar.Header{Name: "a", PAXRecords: records}, "body")
	}
	names := func(reason string, bad ...string) (all []hostile) {
		for _, n := range bad {
			data := join(paxName(n), make([]byte, 1024))
			all = append(all, hostile{"name " + n, [][]byte{data}, reason, nil})
		}
		return all
	}
	links := func(reason string, pairs ...string) (all []hostile) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, hostile{"link " + pairs[i] + " to " + pairs[i+1], [][]byte{join(rawLink(pairs[i], pairs[i+1]), make([]byte, 1024))}, reason, []string{"link"}})
		}
		return all
	}
	cases := []hostile{
		{"invalid UTF-8", [][]byte{retar(a, 0, "\xff\xfe")}, source.ReasonUnsafe, []string{"invalid UTF-8"}},
		{"empty name", [][]byte{retar(a, 0, "\x00")}, source.ReasonUnsafe, []string{"empty name"}},
		{"file with a slash at the end", [][]byte{retar(a, 0, "ab/")}, source.ReasonUnsafe, []string{"slash at the end"}},
		{"link with a slash at the end", [][]byte{join(rawLink("l/", "x"), make([]byte, 1024))}, source.ReasonUnsafe, []string{"slash at the end"}},
		{"root as a link", [][]byte{makeTar(t, symlink(".", "x"))}, source.ReasonUnsafe, nil},
		{"root as a file", [][]byte{makeTar(t, file("./.", "x"))}, source.ReasonUnsafe, []string{"root"}},
		{"character device", [][]byte{one(t, tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, "")}, source.ReasonUnsafe, []string{`"null"`, "a device", "want a file"}},
		{"block device", [][]byte{one(t, tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}, "")}, source.ReasonUnsafe, []string{"a device"}},
		{"fifo", [][]byte{one(t, tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}, "")}, source.ReasonUnsafe, []string{"a fifo"}},
		{"unknown type", [][]byte{retar(a, 156, "Z")}, source.ReasonUnsupported, []string{"'Z'"}},
		{"contiguous file", [][]byte{retar(a, 156, "7")}, source.ReasonUnsupported, nil},
		{"old sparse", [][]byte{oldSparse()}, source.ReasonUnsupported, []string{"sparse"}},
		{"PAX sparse 1.0", [][]byte{paxTar("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1099511627776", "GNU.sparse.name=huge")}, source.ReasonUnsupported, []string{"sparse"}},
		{"PAX sparse 0.1", [][]byte{paxTar("GNU.sparse.size=1099511627776", "GNU.sparse.numblocks=0", "GNU.sparse.map=")}, source.ReasonUnsupported, []string{"sparse"}},
		{"PAX path out of the tree", [][]byte{paxTar("path=../../etc/passwd")}, source.ReasonUnsafe, []string{"../../etc/passwd", "a path with .."}},
		{"PAX path with a NUL", [][]byte{paxTar("path=a\x00b")}, source.ReasonMalformed, nil},
		{"PAX size of another entry", [][]byte{paxTar("size=99999999999")}, source.ReasonTooLarge, []string{"99999999999 bytes"}},
		{"PAX size below zero", [][]byte{paxTar("size=-1")}, source.ReasonMalformed, nil},
		{"global path", [][]byte{rawTar(t, []*tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "b"}}, {Name: "a", Typeflag: tar.TypeReg}})}, source.ReasonUnsafe, []string{"global header with path"}},
		{"headers without end", [][]byte{pax(map[string]string{"X.y": strings.Repeat("z", 70_000)})}, source.ReasonTooLarge, []string{"65536 bytes of headers"}},
		{"long name without end", [][]byte{one(t, tar.Header{Name: strings.Repeat("n/", 40_000) + "n", Format: tar.FormatGNU}, "")}, source.ReasonTooLarge, []string{"headers"}},
		{"hard link to nothing", [][]byte{one(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "missing"}, "")}, source.ReasonUnsafe, []string{"not there"}},
		{"hard link out of the tree", [][]byte{one(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../secret"}, "")}, source.ReasonUnsafe, []string{".."}},
		{"hard link to the host", [][]byte{one(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, "")}, source.ReasonUnsafe, []string{"absolute"}},
		{"hard link to itself", [][]byte{one(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "h"}, "")}, source.ReasonUnsafe, []string{"not there"}},
		{"hard link to a link", [][]byte{makeTar(t, symlink("l", "x")), one(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "l"}, "")}, source.ReasonUnsafe, []string{"a symbolic link"}},
		{"hard link to a directory", [][]byte{makeTar(t, folder("d")), one(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "d"}, "")}, source.ReasonUnsafe, []string{"a directory"}},
		{"hard link through a link", [][]byte{makeTar(t, file("d/f", "x"), symlink("l", "d")), one(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "l/f"}, "")}, source.ReasonUnsafe, []string{"through a symbolic link"}},
		{"hard links that grow", [][]byte{growing(t)}, source.ReasonTooLarge, nil},
		{"file below a link", [][]byte{makeTar(t, folder("d"), symlink("l", "d"), file("l/f", "x"))}, source.ReasonUnsafe, []string{`"l"`, "below a symbolic link"}},
		{"file below a dangling link", [][]byte{makeTar(t, symlink("l", "d"), file("l/f", "x"))}, source.ReasonUnsafe, []string{"below a symbolic link"}},
		{"directory below a link", [][]byte{makeTar(t, folder("d"), symlink("l", "d"), folder("l/f"))}, source.ReasonUnsafe, nil},
		{"file below a file", [][]byte{makeTar(t, file("f", "x"), file("f/g", "x"))}, source.ReasonUnsafe, []string{"below a file"}},
		{"deep below a link", [][]byte{makeTar(t, folder("a/b"), symlink("a/l", "b"), file("a/l/c/d", "x"))}, source.ReasonUnsafe, nil},
		{"truncated header", [][]byte{join(a[:1024], a[:100])}, source.ReasonMalformed, []string{"truncated"}},
		{"truncated body", [][]byte{a[:514]}, source.ReasonMalformed, []string{"truncated", `"a"`}},
		{"truncated in the padding", [][]byte{a[:600]}, source.ReasonMalformed, []string{"no end marker"}},
		{"without an end", [][]byte{a[:1024]}, source.ReasonMalformed, []string{"no end marker", `"a"`}},
		{"without an end, gzip", [][]byte{gz(t, a[:1024])}, source.ReasonMalformed, []string{"no end marker"}},
		{"wrong checksum", [][]byte{join(a[:1024], bytes.Repeat([]byte("x"), 512))}, source.ReasonMalformed, []string{"damaged"}},
		{"two archives in one", [][]byte{join(a, makeTar(t, file("b", "")))}, source.ReasonMalformed, []string{"after the end"}},
		{"text behind", [][]byte{join(a, make([]byte, 5000), []byte("x"))}, source.ReasonMalformed, []string{"nothing but zeros"}},
		{"truncated gzip", [][]byte{gz(t, a)[:len(gz(t, a))-9]}, source.ReasonMalformed, []string{"truncated"}},
		{"gzip with text behind", [][]byte{join(gz(t, a), []byte("text"))}, source.ReasonMalformed, []string{"after the end"}},
		{"gzip with zeros and text behind", [][]byte{join(gz(t, a), make([]byte, 600), []byte("x"))}, source.ReasonMalformed, []string{"after the end"}},
		{"gzip with a wrong checksum", [][]byte{flip(gz(t, a), -8)}, source.ReasonMalformed, []string{"damaged"}},
		{"gzip with a wrong length", [][]byte{flip(gz(t, a), -1)}, source.ReasonMalformed, []string{"damaged"}},
		{"beginning of a gzip", [][]byte{gz(t, a)[:30]}, source.ReasonMalformed, []string{"truncated"}},
		{"gzip magic alone", [][]byte{[]byte("\x1f\x8b")}, source.ReasonMalformed, nil},
		{"zstd magic alone", [][]byte{[]byte("\x28\xb5\x2f\xfd")}, source.ReasonMalformed, nil},
		{"zstd with a dictionary", [][]byte{[]byte("\x28\xb5\x2f\xfd\x21\x07\x00\x01\x00\x00")}, source.ReasonMalformed, nil},
		{"truncated zstd", [][]byte{zst(t, a)[:len(zst(t, a))-3]}, source.ReasonMalformed, nil},
		{"zstd with a wrong checksum", [][]byte{flip(zst(t, a), -1)}, source.ReasonMalformed, nil},
		{"zstd with text behind", [][]byte{join(zst(t, a), []byte("text"))}, source.ReasonMalformed, nil},
		{"zstd with a wide window", [][]byte{zst(t, makeTar(t, file("a", noise(1<<20))), zstd.WithWindowSize(32<<20), zstd.WithSingleSegment(false))}, source.ReasonUnsupported, []string{"window"}},
	}
	cases = append(cases, names(source.ReasonUnsafe, "../a", "a/../b", "..", "a/..", "/a", "//a", "/", "a\\b", "C:\\a", "a\nb", "a\x1bb", "a\x7fb", "a\u0085b", "./../a")...)
	cases = append(cases, names(source.ReasonTooLarge, strings.Repeat("ab/", 101), strings.Repeat("n", 256), "a/b/c/d/e/f")...)
	return append(cases, links(source.ReasonUnsafe, "l", "/etc", "l", "..", "l", "../x", "a/l", "../../x", "l", "a/../../x", "l", "a/../..", "l", "x\\y", "l", "x\ny", "a/b/l", "../../..//x")...)
}

func flip(data []byte, at int) []byte {
	data = append([]byte(nil), data...)
	data[len(data)+at] ^= 1
	return data
}

func growing(t testing.TB) []byte {
	body := strings.Repeat("0123456789", 100_000)
	headers := []*tar.Header{{Name: "f", Typeflag: tar.TypeReg, Size: int64(len(body))}}
	for _, n := range "abcdefgh" {
		headers = append(headers, &tar.Header{Name: string(n), Typeflag: tar.TypeLink, Linkname: "f"})
	}
	return rawTar(t, headers, body)
}

// paxTar is written by hand: archive/tar writes no sparse file and no bad record.
func paxTar(records ...string) []byte {
	body := ""
	for _, r := range records {
		n := len(r) + 4
		for ; len(itoa(n))+1+len(r)+1 != n; n++ {
			if n > len(r)+10 {
				panic(r)
			}
		}
		body += itoa(n) + " " + r + "\n"
	}
	return join(rawHeader("x", 'x', len(body)), pad(body), rawHeader("a", '0', 512), pad("0\n"), make([]byte, 1024))
}

// paxName is a file with any name.
func paxName(name string) []byte {
	whole := paxTar("path=" + name)
	return whole[:len(whole)-1024]
}

func rawLink(name, to string) []byte {
	b := rawHeader(name, '2', 0)
	copy(b[157:257], to)
	return retar(b, 0, name)
}

func oldSparse() []byte {
	h := rawHeader("huge", 'S', 0)
	copy(h[257:], "ustar  \x00")
	copy(h[483:], "77777777777\x00") // real size
	return join(retar(h, 156, "S"), make([]byte, 1024))
}

func itoa(n int) string {
	return strings.TrimLeft(string([]byte{'0' + byte(n/1000), '0' + byte(n/100%10), '0' + byte(n/10%10), '0' + byte(n%10)}), "0")
}

func pad(s string) []byte { return append([]byte(s), make([]byte, -len(s)&511)...) }

func rawHeader(name string, kind byte, size int) []byte {
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	for i, at := 0, size; i < 11; i, at = i+1, at>>3 {
		b[134-i] = '0' + byte(at&7)
	}
	copy(b[136:], "00000000000\x00")
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	return retar(b, 0, name)
}

func zipCases(t testing.TB) []hostile {
	a := makeZip(t, file("name", "body"))
	stored := makeZip(t, file("name", "body"), file("other", "deflated body"))
	withExtra := func(name string, extra []byte) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		if _, err := w.CreateRaw(&zip.FileHeader{Name: name, Extra: extra}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	unicode := func(raw, name string) []byte {
		f := append([]byte{1}, binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(raw)))...)
		f = append(f, name...)
		return append(binary.LittleEndian.AppendUint16([]byte{0x75, 0x70}, uint16(len(f))), f...)
	}
	at := func(data []byte, sig string, off int, now string) []byte {
		data = append([]byte(nil), data...)
		copy(data[bytes.LastIndex(data, []byte(sig))+off:], now)
		return data
	}
	const central, local, end = "PK\x01\x02", "PK\x03\x04", "PK\x05\x06"
	cases := []hostile{
		{"encrypted", [][]byte{at(a, central, 8, "\x09\x00")}, source.ReasonUnsupported, []string{"encrypted"}},
		{"encrypted before the data only", [][]byte{at(a, local, 6, "\x09\x00")}, source.ReasonUnsafe, []string{"another method"}},
		{"masked", [][]byte{at(a, central, 8, "\x00\x20")}, source.ReasonUnsupported, []string{"encrypted"}},
		{"AES", [][]byte{withExtra("a", []byte{0x01, 0x99, 0, 0})}, source.ReasonUnsupported, []string{"encrypted"}},
		{"method", [][]byte{at(a, central, 10, "\x0c\x00")}, source.ReasonUnsupported, []string{"compression method 12"}},
		{"two methods", [][]byte{at(a, local, 8, "\x08\x00")}, source.ReasonUnsafe, []string{"another method"}},
		{"two names", [][]byte{patch(t, a, "name", "evil", 1)}, source.ReasonUnsafe, []string{"another name"}},
		{"unicode name of another entry", [][]byte{withExtra("plain", unicode("other", "plain"))}, source.ReasonUnsafe, []string{"for another name"}},
		{"second unicode name", [][]byte{withExtra("plain", unicode("plain", "../evil"))}, source.ReasonUnsafe, []string{"second name", "../evil"}},
		{"unicode name out of the tree", [][]byte{withExtra("\xff", unicode("\xff", "../evil"))}, source.ReasonUnsafe, []string{"a path with .."}},
		{"code page", [][]byte{withExtra("caf\x82", nil)}, source.ReasonUnsafe, []string{"invalid UTF-8"}},
		{"wrong CRC", [][]byte{patch(t, a, "body", "bodY", 1)}, source.ReasonMalformed, []string{"CRC-32"}},
		{"size too small", [][]byte{at(stored, central, 24, "\x01\x00\x00\x00")}, source.ReasonMalformed, []string{"more bytes"}},
		{"size too large", [][]byte{at(stored, central, 24, "\xff\x00\x00\x00")}, source.ReasonMalformed, []string{"fewer bytes"}},
		{"size beyond the limit", [][]byte{at(stored, central, 24, "\x00\x00\x00\x70")}, source.ReasonTooLarge, []string{"1879048192 bytes"}},
		{"two sizes of a stored entry", [][]byte{at(a, central, 24, "\x09\x00\x00\x00")}, source.ReasonMalformed, []string{"two sizes"}},
		{"packed size too large", [][]byte{at(stored, central, 20, "\xff\xff\xff\x7f")}, source.ReasonMalformed, []string{"outside"}},
		{"packed size with something behind", [][]byte{at(stored, central, 20, string([]byte{byte(len("deflated body") + 12), 0, 0, 0}))}, source.ReasonMalformed, nil},
		{"offset outside", [][]byte{at(a, central, 42, "\xff\xff\xff\x7f")}, source.ReasonMalformed, []string{"outside"}},
		{"offset into the data", [][]byte{at(a, central, 42, "\x05\x00\x00\x00")}, source.ReasonMalformed, []string{"no header"}},
		{"zip64 sizes without a field", [][]byte{at(a, central, 42, "\xff\xff\xff\xff")}, source.ReasonMalformed, nil},
		{"overlap", [][]byte{overlapping(t, 15)}, source.ReasonUnsafe, []string{"overlap"}},
		{"more entries than declared", [][]byte{at(at(stored, end, 8, "\x01\x00"), end, 10, "\x01\x00")}, source.ReasonMalformed, []string{"more records"}},
		{"fewer entries than declared", [][]byte{at(at(stored, end, 8, "\x03\x00"), end, 10, "\x03\x00")}, source.ReasonMalformed, []string{"no directory record"}},
		{"far more entries than declared", [][]byte{at(at(stored, end, 8, "\xfe\xff"), end, 10, "\xfe\xff")}, source.ReasonTooLarge, []string{"65534", "entries"}},
		{"zip64 without a locator", [][]byte{at(at(stored, end, 8, "\xff\xff"), end, 10, "\xff\xff")}, source.ReasonMalformed, []string{"zip64"}},
		{"several disks", [][]byte{at(stored, end, 4, "\x01\x00")}, source.ReasonUnsupported, []string{"several"}},
		{"directory elsewhere", [][]byte{at(stored, end, 16, "\x00\x00\x00\x00")}, source.ReasonMalformed, nil},
		{"truncated", [][]byte{stored[:len(stored)-1]}, source.ReasonMalformed, []string{"no end"}},
		{"beginning alone", [][]byte{stored[:40]}, source.ReasonMalformed, []string{"no end"}},
		{"magic alone", [][]byte{[]byte(local)}, source.ReasonMalformed, []string{"no end"}},
		{"text behind", [][]byte{join(stored, []byte("x"))}, source.ReasonMalformed, []string{"no end"}},
		{"directory with contents", [][]byte{at(makeZip(t, entry{name: "nom", body: "body", mode: fs.ModeDir | 0o755}), central, 24, "\x04\x00\x00\x00")}, source.ReasonUnsafe, []string{"with contents"}},
		{"link with a slash", [][]byte{makeZip(t, entry{name: "l/", mode: fs.ModeSymlink})}, source.ReasonUnsafe, []string{"slash at the end"}},
		{"long link", [][]byte{makeZip(t, symlink("l", strings.Repeat("x", 5000)))}, source.ReasonTooLarge, []string{"link target"}},
		{"long name", [][]byte{makeZip(t, file(strings.Repeat("x", 301), ""))}, source.ReasonTooLarge, []string{"301 bytes of name"}},
	}
	for _, m := range []fs.FileMode{fs.ModeNamedPipe, fs.ModeSocket, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice} {
		cases = append(cases, hostile{"mode " + m.String(), [][]byte{makeZip(t, entry{name: "x", mode: m | 0o644})}, source.ReasonUnsafe, []string{"want a file"}})
	}
	for _, n := range []string{"../a", "/a", "a\\b", "a/../../b", "a\x00b", "a\rb", ".", "./"} {
		if n != "./" {
			cases = append(cases, hostile{"name " + n, [][]byte{makeZip(t, file(n, "x"))}, source.ReasonUnsafe, nil})
		}
	}
	for _, to := range []string{"/etc/passwd", "../x", "", "a/../../x", "x\x00y"} {
		cases = append(cases, hostile{"link to " + to, [][]byte{makeZip(t, symlink("l", to))}, source.ReasonUnsafe, nil})
	}
	return cases
}

// overlapping is a zip of n names for one entry's bytes: each record of the
// directory leads to the same header, whose name they therefore share.
func overlapping(t testing.TB, n int) []byte {
	data := makeZip(t, file("same", strings.Repeat("0123456789abcdef", 20)))
	start := bytes.Index(data, []byte("PK\x01\x02"))
	end := bytes.Index(data, []byte("PK\x05\x06"))
	record := data[start:end]
	// The names differ in the directory alone for all but the first.
	out := append([]byte(nil), data[:start]...)
	var locals []byte
	for i := range n {
		r := append([]byte(nil), record...)
		name := "sam" + string(rune('a'+i))
		copy(r[46:], name)
		// A header of its own in front of all others, whose extra field skips to the data.
		h := append([]byte(nil), data[:34]...)
		copy(h[30:], name)
		binary.LittleEndian.PutUint16(h[28:], uint16((n-1-i)*34))
		binary.LittleEndian.PutUint32(r[42:], uint32(i*34))
		locals = append(locals, h...)
		out = append(out, r...)
	}
	out = join(locals, data[34:start], out[start:])
	tail := append([]byte(nil), data[end:]...)
	binary.LittleEndian.PutUint16(tail[8:], uint16(n))
	binary.LittleEndian.PutUint16(tail[10:], uint16(n))
	binary.LittleEndian.PutUint32(tail[12:], uint32(n*len(record)))
	binary.LittleEndian.PutUint32(tail[16:], uint32(len(out)-n*len(record)))
	return append(out, tail...)
}

func otherCases(t testing.TB) []hostile {
	zeros := makeTar(t, file("zeros", strings.Repeat("\x00", 2<<20)))
	several := func(n int) (all []entry) {
		for i := range n {
			all = append(all, file("f"+itoa(i+1), ""))
		}
		return all
	}
	cases := []hostile{
		{"too many entries, tar", [][]byte{makeTar(t, several(21)...)}, source.ReasonTooLarge, []string{"at most 20 entries"}},
		{"too many entries, zip", [][]byte{makeZip(t, several(21)...)}, source.ReasonTooLarge, []string{"at most 20 entries"}},
		{"too many in two parts", [][]byte{makeTar(t, several(20)...), makeZip(t, file("one", ""))}, source.ReasonTooLarge, []string{"part 2", "at most 20 entries"}},
		{"directories that are implied count", [][]byte{makeTar(t, several(17)...), makeTar(t, file("a/b/c/d", ""))}, source.ReasonTooLarge, []string{"entries"}},
		{"bomb, gzip", [][]byte{gz(t, zeros)}, source.ReasonTooLarge, []string{"at most 50 out of each"}},
		{"bomb, zstd", [][]byte{zst(t, zeros)}, source.ReasonTooLarge, []string{"at most 50 out of each"}},
		{"bomb, zip", [][]byte{join(makeZip(t, file("zero", ""), file("zeros", strings.Repeat("\x00", 2<<20))))}, source.ReasonTooLarge, []string{"at most 50 out of each"}},
		{"bomb of headers", [][]byte{gz(t, join(make0(t), bytes.Repeat(rawHeader("d", '5', 0), 20000), make([]byte, 1024)))}, source.ReasonTooLarge, nil},
		{"bomb of padding", [][]byte{gz(t, join(make0(t), make([]byte, 8<<20)))}, source.ReasonTooLarge, nil},
		{"one file too large", [][]byte{makeTar(t, file("a", noise(3<<20+1)))}, source.ReasonTooLarge, []string{"at most 3145728 bytes of one file"}},
		{"one plain file too large", [][]byte{[]byte(noise(3<<20 + 1))}, source.ReasonTooLarge, []string{"at most 3145728 bytes of one file"}},
		{"all files too large", [][]byte{makeTar(t, file("a", noise(2<<20)), file("b", noise(2<<20)), file("c", "x"))}, source.ReasonTooLarge, []string{`"c"`, "at most 4194304 bytes of all files"}},
		{"all parts too large", [][]byte{makeTar(t, file("a", noise(3<<20))), makeZip(t, file("b", noise(2<<20)))}, source.ReasonTooLarge, []string{"part 2"}},
		{"upload too large", [][]byte{join(makeTar(t, file("a", "")), make([]byte, 6<<20))}, source.ReasonTooLarge, nil},
		{"xz", [][]byte{[]byte("\xfd7zXZ\x00\x00\x04")}, source.ReasonUnsupported, []string{"the format xz"}},
		{"bzip2", [][]byte{[]byte("BZh91AY&SY\x00\x00\x00\x00")}, source.ReasonUnsupported, []string{"bzip2"}},
		{"7z", [][]byte{[]byte("7z\xbc\xaf\x27\x1c\x00\x04")}, source.ReasonUnsupported, []string{"7z"}},
		{"rar", [][]byte{[]byte("Rar!\x1a\x07\x01\x00")}, source.ReasonUnsupported, []string{"rar"}},
		{"lz4", [][]byte{[]byte("\x04\x22\x4d\x18\x64\x40")}, source.ReasonUnsupported, []string{"lz4"}},
		{"lzip", [][]byte{[]byte("LZIP\x01\x0c")}, source.ReasonUnsupported, []string{"lzip"}},
	}
	pairs := [][2]string{
		{"a", "a"}, {"a", "./a"}, {"README", "readme"}, {"d/x", "D/y"}, {"d/e/x", "d/E"}, {"é", "e\u0301"}, {"É", "e\u0301"}, {"\u212a", "k"}, {"ſ", "S"}, {"\u03c2", "\u03a3"}, {"Å", "\u212b"},
	}
	for _, p := range pairs {
		one, two := file(p[0], "1"), file(p[1], "2")
		cases = append(cases,
			hostile{"same name " + p[0] + " " + p[1], [][]byte{makeTar(t, one, two)}, source.ReasonConflict, []string{"of part 1"}},
			hostile{"same name in two parts " + p[0] + " " + p[1], [][]byte{makeTar(t, one), makeZip(t, two)}, source.ReasonConflict, []string{"part 2", "of part 1"}},
		)
	}
	kinds := []struct {
		name  string
		parts []entry
	}{
		{"link over a file", []entry{file("a", ""), symlink("a", "b")}},
		{"file over a link", []entry{symlink("a", "b"), file("a", "")}},
		{"link over a link", []entry{symlink("a", "b"), symlink("a", "c")}},
		{"file over a directory", []entry{folder("a"), file("a", "")}},
		{"link over a directory", []entry{folder("a"), symlink("a", "b")}},
		{"directory over a file", []entry{file("a", ""), folder("a")}},
		{"directory over a link", []entry{folder("b"), symlink("a", "b"), folder("a")}},
		{"directory in another case", []entry{folder("a"), folder("A")}},
	}
	for _, k := range kinds {
		cases = append(cases, hostile{k.name, [][]byte{makeTar(t, k.parts...)}, source.ReasonConflict, []string{"of part 1"}})
	}
	return cases
}

// make0 is the first entry of a tar without its end.
func make0(t testing.TB) []byte { return makeTar(t, file("a", ""))[:512] }

func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return string(b)
}

// TestHostile: each is refused with its reason, names its part, and leaves nothing.
func TestHostile(t *testing.T) {
	for set, cases := range map[string][]hostile{"tar": tarCases(t), "zip": zipCases(t), "other": otherCases(t)} {
		for _, tt := range cases {
			t.Run(set+"/"+tt.name, func(t *testing.T) {
				tree, parent := newTree(t, tiny)
				for _, p := range tt.parts[:len(tt.parts)-1] {
					add(t, tree, "before", p)
				}
				_, err := tree.Add(t.Context(), "up.bin", bytes.NewReader(tt.parts[len(tt.parts)-1]))
				refused(t, err, tt.reason, append(tt.says, "(\"up.bin\")")...)
				if left := look(t, parent); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				if _, again := tree.Digest(); again == nil {
					t.Error("a tree that was refused has a digest")
				}
				if again := tree.Commit(t.Context(), parent+"/dst"); again == nil {
					t.Error("a tree that was refused is committed")
				}
			})
		}
	}
}

func refused(t *testing.T, err error, reason string, says ...string) {
	t.Helper()
	code := status.InvalidArgument
	if reason == source.ReasonTooLarge || reason == source.ReasonDiskFull {
		code = status.ResourceExhausted
	}
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v (%s, %s), want %s, %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
	detail := status.Public(err).Detail
	for _, s := range says {
		if !strings.Contains(detail, s) {
			t.Errorf("%q does not say %q", detail, s)
		}
	}
}
