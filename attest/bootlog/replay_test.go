package bootlog

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

// TestWithoutEvents is the trap of go-eventlog: a register without events is not
// compared at all there.
func TestWithoutEvents(t *testing.T) {
	l := mustParse(t, ovmf().raw())
	zeros, ones := make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)
	extended := mustBank(t, "sha256").sum(zeros, zeros)
	for i := range maxRegister + 1 {
		if i <= 7 || i == 9 {
			continue
		}
		for name, c := range map[string]struct {
			value []byte
			ok    bool
		}{
			"zeros":    {zeros, true},
			"ones":     {ones, i >= 17 && i <= 22},
			"extended": {extended, false},
			"locality": {append(make([]byte, 31), 4), false},
		} {
			b, err := l.Replay("sha256", map[int][]byte{i: c.value})
			if c.ok {
				if err != nil {
					t.Errorf("pcr[%d] of %s: %v", i, name, err)
				} else if ms, ok := b.Measurements(i); !ok || len(ms) != 0 {
					t.Errorf("pcr[%d]: %v, %v", i, ms, ok)
				}
				continue
			}
			e := wantStatus(t, err, status.Untrusted, "bootlog.replay")
			if len(e.Faults) != 1 || e.Faults[0].Field != fmt.Sprintf("pcr[%d]", i) {
				t.Errorf("pcr[%d] of %s: faults %v", i, name, e.Faults)
			}
		}
	}
	// One with events is never its start value.
	for _, v := range [][]byte{zeros, ones} {
		_, err := l.Replay("sha256", map[int][]byte{4: v})
		wantStatus(t, err, status.Untrusted, "bootlog.replay")
	}
	// Nor is an RTMR all ones.
	ccel := mustParse(t, newLog("sha384").plain(1, typePostCode, "x").raw())
	if _, err := ccel.ReplayRTMR(map[int][]byte{3: make([]byte, 48)}); err != nil {
		t.Error(err)
	}
	_, err := ccel.ReplayRTMR(map[int][]byte{3: bytes.Repeat([]byte{0xff}, 48)})
	wantStatus(t, err, status.Untrusted, "bootlog.replay")
}

// TestReplayFaults lists all that differ, at once.
func TestReplayFaults(t *testing.T) {
	l := mustParse(t, ovmf().raw())
	values := own(l, mustBank(t, "sha256"), pcrs)
	values[4] = bytes.Repeat([]byte{1}, 32)
	values[7] = values[7][:31]
	values[10] = bytes.Repeat([]byte{2}, 32)
	values[24] = make([]byte, 32)
	values[-1] = make([]byte, 32)
	values[5] = nil
	b, err := l.Replay("sha256", values)
	e := wantStatus(t, err, status.Untrusted, "bootlog.replay")
	var fields []string
	for _, f := range e.Faults {
		fields = append(fields, f.Field)
	}
	if b != nil || !slices.Equal(fields, []string{"pcr[-1]", "pcr[4]", "pcr[5]", "pcr[7]", "pcr[10]", "pcr[24]"}) {
		t.Errorf("boot %v, faults %v", b, e.Faults)
	}
	if f := e.Faults[1]; f.Got != fmt.Sprintf("%x", values[4]) || len(f.Want) != 64 {
		t.Errorf("fault %v", f)
	}
	for _, none := range []map[int][]byte{nil, {}} {
		_, err := l.Replay("sha256", none)
		wantStatus(t, err, status.InvalidArgument, "bootlog.replay")
	}
	ccel := mustParse(t, newLog("sha384").plain(1, typePostCode, "x").raw())
	_, err = ccel.ReplayRTMR(map[int][]byte{0: make([]byte, 48), 4: make([]byte, 48)})
	if e := wantStatus(t, err, status.Untrusted, "bootlog.replay"); len(e.Faults) != 2 || e.Faults[0].Field != "rtmr[0]" || e.Faults[1].Field != "rtmr[4]" {
		t.Errorf("faults %v", e.Faults)
	}
}

func TestBanks(t *testing.T) {
	l := mustParse(t, newLog("sha1", "sha384").plain(0, typePostCode, "x").raw())
	for bank, code := range map[string]status.Code{
		"sha256": status.Untrusted, "sha512": status.Untrusted,
		"sha1": status.InvalidArgument, "": status.InvalidArgument, "SHA384": status.InvalidArgument, "sm3": status.InvalidArgument,
	} {
		_, err := l.Replay(bank, map[int][]byte{0: make([]byte, 32)})
		wantStatus(t, err, code, "bootlog.bank")
		_, err = l.Register(bank, 0)
		wantStatus(t, err, code, "bootlog.bank")
	}
	_, err := mustParse(t, newLog("sha256").plain(1, typePostCode, "x").raw()).ReplayRTMR(map[int][]byte{0: make([]byte, 48)})
	wantStatus(t, err, status.Untrusted, "bootlog.bank")
	v, err := l.Register("sha384", 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Replay("sha384", map[int][]byte{0: v})
	if err != nil || b.Bank() != "sha384" {
		t.Errorf("%v, %v", b, err)
	}
}

// TestStart is what PCR 0 begins with.
func TestStart(t *testing.T) {
	b := mustBank(t, "sha256")
	d := b.sum([]byte("x"))
	start := func(v byte) []byte { return append(make([]byte, 31), v) }
	locality := func(v byte) *builder {
		return newLog("sha256").add(0, typeNoAction, nil, append([]byte("StartupLocality\x00"), v))
	}
	for name, c := range map[string]struct {
		log  *builder
		pcr  int
		want []byte
	}{
		"zeros":                    {newLog("sha256").plain(0, typePostCode, "x"), 0, b.sum(start(0), d)},
		"locality 0":               {locality(0).plain(0, typePostCode, "x"), 0, b.sum(start(0), d)},
		"locality 3":               {locality(3).plain(0, typePostCode, "x"), 0, b.sum(start(3), d)},
		"locality 3, no events":    {locality(3), 0, start(3)},
		"locality, other register": {locality(3).plain(1, typePostCode, "x"), 1, b.sum(start(0), d)},
		"H-CRTM":                   {newLog("sha256").plain(0, typeHCRTM, "x"), 0, b.sum(start(4), d)},
		"H-CRTM, later":            {newLog("sha256").plain(0, typePostCode, "x").plain(0, typeHCRTM, "x"), 0, b.sum(b.sum(start(0), d), d)},
		"H-CRTM, other register":   {newLog("sha256").plain(1, typeHCRTM, "x"), 1, b.sum(start(0), d)},
		"not measured":             {newLog("sha256").plain(0, typePostCode, "x").add(0, typeNoAction, nil, []byte("y")), 0, b.sum(start(0), d)},
	} {
		t.Run(name, func(t *testing.T) {
			l := mustParse(t, c.log.raw())
			if got, err := l.Register("sha256", c.pcr); err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("%x, %v, want %x", got, err, c.want)
			}
			if _, err := l.Replay("sha256", map[int][]byte{c.pcr: c.want}); err != nil {
				t.Error(err)
			}
		})
	}
	l := mustParse(t, newLog("sha256").plain(0, typePostCode, "x").plain(17, typePostCode, "x").raw())
	for _, i := range []int{-1, 18, 22, 24} {
		_, err := l.Register("sha256", i)
		wantStatus(t, err, status.InvalidArgument, "bootlog.replay")
	}
	if got, err := l.Register("sha256", 17); err != nil || !bytes.Equal(got, b.sum(start(0), d)) {
		t.Errorf("%x, %v", got, err)
	}
}

func TestCompare(t *testing.T) {
	raw := newLog("sha256").plain(4, typePostCode, "a").plain(4, typePostCode, "b").plain(4, typePostCode, "a").raw()
	l := mustParse(t, raw)
	values := own(l, mustBank(t, "sha256"), pcrs)
	delete(values, 5)
	b, err := l.Replay("sha256", values)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(s string) []byte { return mustBank(t, "sha256").sum([]byte(s)) }
	x, y, z := sum("a"), sum("b"), sum("c")
	for name, c := range map[string]struct{ want, missing, unexpected [][]byte }{
		"same":       {[][]byte{x, y, x}, nil, nil},
		"reordered":  {[][]byte{x, x, y}, nil, nil},
		"one less":   {[][]byte{x, y}, nil, [][]byte{x}},
		"one more":   {[][]byte{x, y, x, y}, [][]byte{y}, nil},
		"another":    {[][]byte{x, z, x}, [][]byte{z}, [][]byte{y}},
		"none":       {nil, nil, [][]byte{x, y, x}},
		"empty ones": {[][]byte{{}}, [][]byte{{}}, [][]byte{x, y, x}},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(c.want)
			missing, unexpected, err := b.Compare(4, c.want)
			if err != nil || len(missing) != len(c.missing) || len(unexpected) != len(c.unexpected) ||
				!slices.EqualFunc(missing, c.missing, bytes.Equal) || !slices.EqualFunc(unexpected, c.unexpected, bytes.Equal) {
				t.Errorf("missing %x, unexpected %x, %v", missing, unexpected, err)
			}
			if !cmp.Equal(before, c.want) {
				t.Error("the caller's list was changed")
			}
		})
	}
	// A register that was not compared is not an empty one.
	_, _, err = b.Compare(5, nil)
	wantStatus(t, err, status.Untrusted, "bootlog.replay")
	if _, ok := b.Digests(5); ok {
		t.Error("digests of a register that was not replayed")
	}
	if ds, ok := b.Digests(6); !ok || len(ds) != 0 {
		t.Errorf("digests %x, %v", ds, ok)
	}
	if missing, unexpected, err := b.Compare(6, nil); err != nil || len(missing)+len(unexpected) != 0 {
		t.Errorf("%x, %x, %v", missing, unexpected, err)
	}
}

func TestFirmwareVersion(t *testing.T) {
	for name, c := range map[string]struct {
		log  *builder
		want string
	}{
		"wide":        {newLog("sha256").plain(0, typeCRTMVersion, utf16z("v1.0")), "v1.0"},
		"ascii":       {newLog("sha256").plain(0, typeCRTMVersion, "1.0 beta\x00"), "1.0 beta"},
		"bytes":       {newLog("sha256").plain(0, typeCRTMVersion, "\x01\x02\x03"), "0x010203"},
		"looks like":  {newLog("sha256").plain(0, typeCRTMVersion, "0x010203"), "0x3078303130323033"},
		"not ascii":   {newLog("sha256").plain(0, typeCRTMVersion, utf16z("v1․0")), "0x7600310024203000" + "0000"},
		"second":      {newLog("sha256").plain(0, typePostCode, "x").plain(0, typeCRTMVersion, "v1"), ""},
		"another one": {newLog("sha256").plain(0, typePostCode, "v1"), ""},
		"unverified":  {newLog("sha256").add(0, typeCRTMVersion, []byte("v1"), []byte("v2")), ""},
		"after":       {newLog("sha256").plain(0, typeSeparator, "\x00\x00\x00\x00").plain(0, typeCRTMVersion, "v1"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := boot(t, c.log.plain(0, typeSeparator, "\x00\x00\x00\x00").raw()).Facts().FirmwareVersion
			if (f == nil) != (c.want == "") || f != nil && f.Value != c.want {
				t.Errorf("%v, want %q", f, c.want)
			}
		})
	}
	// A version after a separator that stands first is no measurement of the firmware.
	if f := boot(t, newLog("sha256").plain(0, typeCRTMVersion, "\x00\x00\x00\x00").raw()).Facts().FirmwareVersion; f != nil {
		t.Errorf("version %v", f)
	}
}

func BenchmarkReplay(b *testing.B) {
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"ovmf", ovmf().raw()},
		{"ubuntu", readVector(b, "eventlogs/tpm/ubuntu-2404-amd-sevsnp.bin")},
	} {
		values := own(mustParse(b, c.raw), mustBank(b, "sha256"), pcrs)
		b.Run(fmt.Sprintf("%s-%d", c.name, len(c.raw)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l, err := Parse(c.raw)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := l.Replay("sha256", values); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logs/s")
		})
	}
}

func TestRegisterRTMR(t *testing.T) {
	var l *Log
	for _, r := range recordings(t) {
		if r.Kind != "rtmr" {
			continue
		}
		l = mustParse(t, readVector(t, r.Log))
		for i, want := range r.registers(t) {
			if got, err := l.RegisterRTMR(i); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: rtmr[%d]: got %x, %v, want %x", r.Log, i, got, err, want)
			}
		}
	}
	if l == nil {
		t.Fatal("no log of a TD is recorded")
	}
	for _, i := range []int{-1, 4} {
		_, err := l.RegisterRTMR(i)
		wantStatus(t, err, status.InvalidArgument, "bootlog.replay")
	}
	legacy := mustParse(t, readVector(t, recordingsOf(t, "sha1")))
	_, err := legacy.RegisterRTMR(0)
	wantStatus(t, err, status.Untrusted, "bootlog.bank")
}

// recordingsOf is a log that was recorded with a bank.
func recordingsOf(t *testing.T, bank string) string {
	t.Helper()
	for _, r := range recordings(t) {
		if r.Bank == bank && !slices.Contains(mustParse(t, readVector(t, r.Log)).Banks(), "sha384") {
			return r.Log
		}
	}
	t.Fatalf("no log with %s alone", bank)
	return ""
}
