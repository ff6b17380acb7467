package bootlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// vectors is where go-eventlog keeps its logs. The package embeds only some of
// them, so they are read from the module's directory.
var vectors = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-eventlog").Output()
	return filepath.Join(strings.TrimSpace(string(out)), "testdata"), err
})

func readVector(tb testing.TB, name string) []byte {
	tb.Helper()
	dir, err := vectors()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// vectorNames are all files below a directory of vectors.
func vectorNames(tb testing.TB, under string) []string {
	tb.Helper()
	dir, err := vectors()
	if err != nil {
		tb.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(dir, under))
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, under+"/"+f.Name())
	}
	return names
}

// recorded is the registers that go-eventlog's own tests record for a log:
// those of a quote or of the machine that the log is from.
type recorded struct {
	Log, Kind, Bank string
	Values          map[string]string
}

func (r recorded) registers(tb testing.TB) map[int][]byte {
	tb.Helper()
	m := map[int][]byte{}
	for k, v := range r.Values {
		i, err := strconv.Atoi(k)
		if err != nil {
			tb.Fatal(err)
		}
		if m[i], err = hex.DecodeString(v); err != nil {
			tb.Fatal(err)
		}
	}
	return m
}

func recordings(tb testing.TB) []recorded {
	tb.Helper()
	raw, err := os.ReadFile("testdata/registers.json")
	if err != nil {
		tb.Fatal(err)
	}
	var rs []recorded
	if err := json.Unmarshal(raw, &rs); err != nil {
		tb.Fatal(err)
	}
	return rs
}

// dump is a log with its registers as go-attestation's tool writes them.
type dump struct {
	Log struct {
		PCRs []struct {
			Index  int
			Digest []byte
		}
		Raw []byte
	}
}

func readDump(tb testing.TB, name string) dump {
	tb.Helper()
	var d dump
	if err := json.Unmarshal(readVector(tb, name), &d); err != nil {
		tb.Fatal(err)
	}
	return d
}

func mustParse(tb testing.TB, raw []byte) *Log {
	tb.Helper()
	l, err := Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func mustBank(tb testing.TB, name string) bank {
	tb.Helper()
	b, ok := bankByName(name)
	if !ok {
		tb.Fatalf("no bank %s", name)
	}
	return b
}

// own are the registers that the log itself comes to.
func own(l *Log, b bank, k kind) map[int][]byte {
	m := map[int][]byte{}
	for i := 0; i <= k.last; i++ {
		m[i], _ = l.extend(b, k, i)
	}
	return m
}

// boot replays a log against the registers that it comes to itself.
func boot(tb testing.TB, raw []byte) *Boot {
	tb.Helper()
	l := mustParse(tb, raw)
	b, err := l.Replay("sha256", own(l, mustBank(tb, "sha256"), pcrs))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func wantStatus(tb testing.TB, err error, code status.Code, reason string) *status.Error {
	tb.Helper()
	var e *status.Error
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		tb.Fatalf("got %v (%v %q), want %v %q", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
	return e
}

// builder writes a crypto-agile log.
type builder struct {
	banks []string
	buf   bytes.Buffer
}

func newLog(banks ...string) *builder {
	b := &builder{banks: banks}
	data := []byte(specID)
	data = append(data, 0, 0, 0, 0, 0, 2, 0, 2)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(banks)))
	for _, n := range banks {
		k, _ := bankByName(n)
		data = binary.LittleEndian.AppendUint16(data, k.id)
		data = binary.LittleEndian.AppendUint16(data, uint16(k.hash.Size()))
	}
	data = append(data, 0)
	b.u32(0, uint32(typeNoAction))
	b.buf.Write(make([]byte, 20))
	b.u32(uint32(len(data)))
	b.buf.Write(data)
	return b
}

func (b *builder) u32(vs ...uint32) {
	for _, v := range vs {
		b.buf.Write(binary.LittleEndian.AppendUint32(nil, v))
	}
}

// add logs an event whose digest is that of content.
func (b *builder) add(register int, t Type, content, data []byte) *builder {
	b.u32(uint32(register), uint32(t), uint32(len(b.banks)))
	for _, n := range b.banks {
		k, _ := bankByName(n)
		b.buf.Write(binary.LittleEndian.AppendUint16(nil, k.id))
		if t == typeNoAction {
			b.buf.Write(make([]byte, k.hash.Size()))
			continue
		}
		b.buf.Write(k.sum(content))
	}
	b.u32(uint32(len(data)))
	b.buf.Write(data)
	return b
}

// plain logs an event that holds what is measured.
func (b *builder) plain(register int, t Type, content string) *builder {
	return b.add(register, t, []byte(content), []byte(content))
}

func (b *builder) raw() []byte { return bytes.Clone(b.buf.Bytes()) }

const (
	typeSeparator   Type = 0x00000004
	typePostCode    Type = 0x00000001
	typeDriver      Type = 0x80000001
	typeApplication Type = 0x80000003
	typeAction      Type = 0x80000007
	typeBlob        Type = 0x80000008
)

func secure(name string, data ...byte) string {
	v := variable{vendor: globalVariable, name: name, data: data}
	if name == "db" || name == "dbx" {
		v.vendor = securityDatabase
	}
	return string(v.encode())
}

func utf16z(s string) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(s + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return string(b)
}

// ovmf is a log in the form of OVMF's with a kernel that QEMU hands over: an
// application of the firmware's own is measured before any boot option is
// called, and the kernel's stub measures its load options and the RAM disk.
func ovmf() *builder {
	b := newLog("sha1", "sha256", "sha384", "sha512").
		plain(0, typeCRTMVersion, utf16z("2022.11-6+deb12u2")).
		add(0, typeBlob, []byte("volume one"), make([]byte, 16)).
		add(0, typeBlob, []byte("volume two"), make([]byte, 16))
	for _, v := range []string{
		secure("SecureBoot", 1), secure("PK", 2), secure("KEK", 3), secure("db", 4), secure("dbx", 5),
	} {
		b.plain(7, typeDriver, v)
	}
	b.plain(7, typeSeparator, "\x00\x00\x00\x00").
		add(1, typeVariableBoot, []byte{0, 0}, []byte(secure("BootOrder", 0, 0))).
		add(4, typeApplication, []byte("MZ the kernel"), []byte("a device path")).
		plain(4, typeAction, "Calling EFI Application from Boot Option")
	for i := range 7 {
		b.plain(i, typeSeparator, "\x00\x00\x00\x00")
	}
	tag := func(id uint32, s string) []byte {
		d := binary.LittleEndian.AppendUint32(nil, id)
		d = binary.LittleEndian.AppendUint32(d, uint32(len(s)))
		return append(d, s...)
	}
	return b.
		add(9, typeEventTag, []byte(utf16z("console=ttyS0")), tag(tagLoadOptions, "LOADED_IMAGE::LoadOptions\x00")).
		add(9, typeEventTag, []byte("a RAM disk"), tag(tagInitrd, "Linux initrd\x00")).
		plain(5, typeAction, "Exit Boot Services Invocation").
		plain(5, typeAction, "Exit Boot Services Returned with Success")
}
