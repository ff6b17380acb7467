package bootlog

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"apocryph/proto/status"
)

// TestParseRefuses is what a stranger may send.
func TestParseRefuses(t *testing.T) {
	// The header of newLog("sha256") is 32 bytes and its data; the table starts at 60.
	const version, count, table = 32 + 16 + 4, 32 + 16 + 8, 32 + 16 + 12
	patch := func(at int, b ...byte) []byte {
		raw := newLog("sha256").plain(0, typePostCode, "x").raw()
		copy(raw[at:], b)
		return raw
	}
	head := len(newLog("sha256").raw())
	many := newLog("sha256")
	for range maxEvents {
		many.plain(1, typePostCode, "")
	}
	locality := func(v ...byte) []byte { return append([]byte("StartupLocality\x00"), v...) }
	two := newLog("sha256", "sha384").plain(0, typePostCode, "x").raw()
	twice := bytes.Clone(two)
	binary.LittleEndian.PutUint16(twice[len(newLog("sha256", "sha384").raw())+12+2+32:], 0x000b)
	for _, c := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"nothing", nil, "0 bytes"},
		{"too much", make([]byte, MaxLog+1), "1048577 bytes"},
		{"cut in the header", newLog("sha256").raw()[:40], "bytes of data"},
		{"cut in the first event", newLog("sha256").raw()[:31], "31 bytes are left"},
		{"header alone", newLog("sha256").raw(), "no events"},
		{"only padding", append(newLog("sha256").raw(), make([]byte, 64)...), "no events"},
		{"another major version", patch(version+1, 1), "version 1.0"},
		{"another minor version", patch(version, 1), "version 2.1"},
		{"no algorithms", patch(count, 0), "0 digest algorithms"},
		{"many algorithms", patch(count, 9), "9 digest algorithms"},
		{"4294967295 algorithms", patch(count, 0xff, 0xff, 0xff, 0xff), "4294967295 digest algorithms"},
		{"table cut", patch(count, 8), "ends within"},
		{"digests of another size", patch(table+2, 20), "sha256 digests of 20 bytes"},
		{"digests of no size", patch(table, 0x99, 0, 0, 0), "alg-0x0099 digests of 0 bytes"},
		{"long unknown digests", patch(table, 0x99, 0, 65, 0), "alg-0x0099 digests of 65 bytes"},
		{"vendor information", patch(table+4, 7), "vendor information"},
		{"algorithm twice", newLog("sha256", "sha256").raw(), "twice"},
		{"register 24", newLog("sha256").plain(24, typePostCode, "x").raw(), "register 24"},
		{"register 4294967295", newLog("sha256").plain(-1, typePostCode, "x").raw(), "register 4294967295"},
		{"no digests", patch(head+8, 0), "0 digests"},
		{"4294967295 digests", patch(head+8, 0xff, 0xff, 0xff, 0xff), "4294967295 digests"},
		{"unknown algorithm", patch(head+12, 0x99), "0x0099"},
		{"digest twice", twice, "two sha256 digests"},
		{"4294967295 bytes of data", patch(head+12+34, 0xff, 0xff, 0xff, 0xff), "4294967295 bytes of data"},
		{"cut in a digest", patch(0)[:head+20], "bytes are left"},
		{"trailing bytes", append(patch(0), 1, 2, 3), "3 bytes are left"},
		{"mixed padding", append(patch(0), 0xff, 0xff, 0xff, 0), "4 bytes are left"},
		{"event after padding", append(append(patch(0), bytes.Repeat([]byte{0xff}, 64)...), patch(0)[head:]...), "digests, want 1"},
		{"events without end", many.plain(1, typePostCode, "").raw(), "more than 4096 events"},
		{"locality twice", newLog("sha256").add(0, typeNoAction, nil, locality(3)).add(0, typeNoAction, nil, locality(3)).raw(), "second startup locality"},
		{"locality late", newLog("sha256").plain(0, typePostCode, "x").add(0, typeNoAction, nil, locality(3)).raw(), "after PCR 0 was extended"},
		{"locality 1", newLog("sha256").add(0, typeNoAction, nil, locality(1)).raw(), "startup locality 1,"},
		{"locality missing", newLog("sha256").add(0, typeNoAction, nil, locality()).raw(), "of 16 bytes"},
		{"locality long", newLog("sha256").add(0, typeNoAction, nil, locality(3, 0)).raw(), "of 18 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.raw)
			e := wantStatus(t, err, status.Untrusted, "bootlog.parse")
			if !strings.Contains(e.Detail, c.want) {
				t.Errorf("detail %q, want %q in it", e.Detail, c.want)
			}
		})
	}
}

// TestEveryCut ends a log at each byte: only whole events are taken. The first
// bytes of an event of PCR 0 are zeros and read as padding.
func TestEveryCut(t *testing.T) {
	raw := ovmf().raw()
	head, events := split(t, raw)
	whole := map[int]bool{}
	n := len(head)
	for _, e := range events {
		n += len(e)
		whole[n] = true
	}
	last := 0
	for i := range raw {
		if whole[i] {
			last = i
		}
		_, err := Parse(raw[:i])
		if want := last > 0 && (last == i || padding(raw[last:i])); (err == nil) != want {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
}

func TestParseTakes(t *testing.T) {
	raw := ovmf().raw()
	for name, pad := range map[string][]byte{
		"none": nil, "zeros": make([]byte, 4096), "ones": bytes.Repeat([]byte{0xff}, 4096), "one byte": {0xff},
	} {
		l := mustParse(t, append(bytes.Clone(raw), pad...))
		if len(l.Events()) != 23 || strings.Join(l.Banks(), " ") != "sha1 sha256 sha384 sha512" {
			t.Errorf("padding of %s: %d events, banks %v", name, len(l.Events()), l.Banks())
		}
	}
	// The log is the caller's: what is done to it afterwards changes nothing.
	l := mustParse(t, raw)
	before := l.Events()[0].Data[0]
	clear(raw)
	if l.Events()[0].Data[0] != before {
		t.Error("the log is not a copy")
	}
	// An algorithm that is not known here is kept and cannot be replayed.
	unknown := newLog("sha256").plain(0, typePostCode, "x").raw()
	binary.LittleEndian.PutUint16(unknown[60:], 0x0012)
	binary.LittleEndian.PutUint16(unknown[len(newLog("sha256").raw())+12:], 0x0012)
	if got := mustParse(t, unknown).Banks(); len(got) != 1 || got[0] != "alg-0x0012" {
		t.Errorf("banks %v", got)
	}
	_, err := mustParse(t, unknown).Replay("sha256", map[int][]byte{0: make([]byte, 32)})
	wantStatus(t, err, status.Untrusted, "bootlog.bank")
	// Later forms of EV_NO_ACTION name a register that does not exist.
	mustParse(t, newLog("sha256").add(-1, typeNoAction, nil, []byte("x")).raw())
}

func TestGuard(t *testing.T) {
	err := func() (err error) {
		defer guard(&err)
		panic("slice bounds")
	}()
	e := wantStatus(t, err, status.Untrusted, "bootlog.parse")
	if strings.Contains(e.Detail, "slice bounds") || !strings.Contains(e.Error(), "slice bounds") {
		t.Errorf("detail %q, error %q", e.Detail, e.Error())
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[Type]string{4: "EV_SEPARATOR", 0x800000e0: "EV_EFI_VARIABLE_AUTHORITY", 0x10000000: "0x10000000"} {
		if typ.String() != want {
			t.Errorf("%q, want %q", typ.String(), want)
		}
	}
}

func TestParseVariable(t *testing.T) {
	good := variable{vendor: securityDatabase, name: "db", data: []byte{1, 2, 3}}
	raw := good.encode()
	if v, ok := parseVariable(raw); !ok || v.vendor != good.vendor || v.name != "db" || !bytes.Equal(v.data, good.data) {
		t.Errorf("%v, %v", v, ok)
	}
	sized := func(at int, n uint64) []byte {
		b := bytes.Clone(raw)
		binary.LittleEndian.PutUint64(b[at:], n)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "cut in the head": raw[:31], "cut in the name": raw[:33], "cut in the data": raw[:len(raw)-1],
		"trailing byte": append(bytes.Clone(raw), 0), "shorter data": sized(24, 2), "longer data": sized(24, 4),
		"longer name": sized(16, 4), "overflowing name": sized(16, 1<<63), "overflowing data": sized(24, 1<<64-1),
	} {
		if v, ok := parseVariable(b); ok {
			t.Errorf("%s: %v", name, v)
		}
	}
}

// FuzzParse reads logs and replays them. The seeds are long: run it with
// -fuzzminimizetime=1x.
func FuzzParse(f *testing.F) {
	for _, name := range append(vectorNames(f, "eventlogs/tpm"), vectorNames(f, "legacydata")...) {
		// Mutating the long ones takes the time and finds nothing that the short
		// ones do not.
		if raw := readVector(f, name); len(raw) <= 24<<10 {
			f.Add(raw)
		}
	}
	f.Add(bytes.TrimRight(readVector(f, "eventlogs/ccel/cos-113-intel-tdx.bin"), "\xff"))
	f.Add(ovmf().raw())
	f.Add(grub().raw())
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := Parse(raw)
		if err != nil {
			wantStatus(t, err, status.Untrusted, "bootlog.parse")
			return
		}
		if len(l.Events()) == 0 || len(l.Events()) > maxEvents {
			t.Fatalf("%d events", len(l.Events()))
		}
		for _, name := range l.Banks() {
			b, ok := bankByName(name)
			if !ok {
				continue
			}
			values := own(l, b, pcrs)
			boot, err := l.replay(b, pcrs, values)
			if err != nil {
				t.Fatalf("%s: the log's own registers: %v", name, err)
			}
			for i, v := range values {
				ms, _ := boot.Measurements(i)
				for _, m := range ms {
					if m.Verified && !bytes.Equal(b.sum(m.Content), m.Digest) || !m.Verified && m.Content != nil {
						t.Fatalf("event %d: verified %v, content %q", m.Index, m.Verified, m.Content)
					}
				}
				wrong := bytes.Clone(v)
				wrong[0] ^= 1
				if _, err := l.replay(b, pcrs, map[int][]byte{i: wrong}); err == nil {
					t.Fatalf("another value of pcr[%d] is accepted", i)
				}
			}
		}
	})
}
