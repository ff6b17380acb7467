package bootlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-eventlog/register"
	"github.com/google/go-eventlog/tcg"

	"apocryph/proto/status"
)

// TestRecordedRegisters replays real logs against the registers of the machines
// that they are from.
func TestRecordedRegisters(t *testing.T) {
	logs := map[string]bool{}
	for _, r := range recordings(t) {
		logs[r.Log] = true
		t.Run(path.Base(r.Log)+"/"+r.Bank, func(t *testing.T) {
			l := mustParse(t, readVector(t, r.Log))
			values := r.registers(t)
			b, err := replayAny(l, r.Kind, r.Bank, values)
			if err != nil {
				t.Fatal(err)
			}
			for i := range values {
				if _, ok := b.Measurements(i); !ok {
					t.Errorf("register %d was not replayed", i)
				}
				wrong := r.registers(t)
				wrong[i][0] ^= 1
				_, err := replayAny(l, r.Kind, r.Bank, wrong)
				e := wantStatus(t, err, status.Untrusted, "bootlog.replay")
				if len(e.Faults) != 1 || e.Faults[0].Field != fmt.Sprintf("%s[%d]", r.Kind, i) || e.Faults[0].Got != hex.EncodeToString(wrong[i]) {
					t.Errorf("faults %v, want one of %s[%d]", e.Faults, r.Kind, i)
				}
			}
		})
	}
	if len(logs) != 17 {
		t.Errorf("%d logs with recorded registers, want 17", len(logs))
	}
}

// replayAny also replays SHA-1, as no caller can.
func replayAny(l *Log, kind, bank string, values map[int][]byte) (*Boot, error) {
	switch {
	case kind == "rtmr":
		return l.ReplayRTMR(values)
	case bank == "sha1":
		b, _ := bankByName(bank)
		return l.replay(b, pcrs, values)
	}
	return l.Replay(bank, values)
}

// TestLegacyDumps are a Windows and a Linux machine with SHA-1 only, all 24
// registers each: those without events too. On the Linux one IMA extends PCR 10,
// which is not in the firmware's log and passes as equal in go-eventlog.
func TestLegacyDumps(t *testing.T) {
	for _, name := range []string{"windows_gcp_shielded_vm.json", "linux_tpm12.json"} {
		t.Run(name, func(t *testing.T) {
			d := readDump(t, "legacydata/"+name)
			l := mustParse(t, d.Log.Raw)
			values := map[int][]byte{}
			for _, p := range d.Log.PCRs {
				values[p.Index] = p.Digest
			}
			if len(values) != 24 {
				t.Fatalf("%d registers", len(values))
			}
			sha1 := mustBank(t, "sha1")
			b, err := l.replay(sha1, pcrs, values)
			if strings.HasPrefix(name, "linux") {
				e := wantStatus(t, err, status.Untrusted, "bootlog.replay")
				if len(e.Faults) != 1 || e.Faults[0].Field != "pcr[10]" {
					t.Errorf("faults %v, want one of pcr[10]", e.Faults)
				}
				delete(values, 10)
				b, err = l.replay(sha1, pcrs, values)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range values {
				if _, ok := b.Measurements(i); !ok {
					t.Errorf("pcr[%d] was not replayed", i)
				}
			}
			_, err = l.Replay("sha256", map[int][]byte{4: make([]byte, 32)})
			wantStatus(t, err, status.Untrusted, "bootlog.bank")
		})
	}
}

// TestLibraryAgrees holds every log of go-eventlog against what that library
// makes of it: the same events, and registers that it accepts.
func TestLibraryAgrees(t *testing.T) {
	names := append(vectorNames(t, "eventlogs/tpm"), vectorNames(t, "eventlogs/ccel")...)
	tpm, ccel := 0, 0
	for _, name := range append(names, vectorNames(t, "legacydata")...) {
		raw := readVector(t, name)
		if strings.HasSuffix(name, ".json") || bytes.HasPrefix(raw, []byte("CCEL")) {
			continue
		}
		switch {
		case strings.HasPrefix(name, "eventlogs/tpm"):
			tpm++
		case strings.HasPrefix(name, "eventlogs/ccel"):
			ccel++
		}
		t.Run(path.Base(name), func(t *testing.T) { agree(t, raw, mustParse(t, raw)) })
	}
	if tpm != 17 || ccel != 8 {
		t.Errorf("%d and %d logs, want 17 and 8", tpm, ccel)
	}
}

func agree(t *testing.T, raw []byte, l *Log) {
	t.Helper()
	el, err := tcg.ParseEventLog(raw, tcg.ParseOpts{AllowPadding: true})
	if err != nil {
		t.Fatalf("the library refuses what Parse took: %v", err)
	}
	for _, name := range l.banks {
		b, ok := bankByName(name)
		if !ok || b.name == "sha512" {
			continue
		}
		theirs := el.Events(register.HashAlg(b.id))
		if len(theirs) != len(l.events) {
			t.Fatalf("%d events, the library has %d", len(l.events), len(theirs))
		}
		for i, e := range l.events {
			want := Event{Index: i, Register: theirs[i].Index, Type: Type(theirs[i].Type), Data: theirs[i].Data}
			got := e
			got.Digests = nil
			if !cmp.Equal(got, want) || !bytes.Equal(e.digest(name), theirs[i].Digest) {
				t.Fatalf("event %d: %v, the library has %v", i, e, theirs[i])
			}
		}
		var mrs []register.MR
		for i, v := range own(l, b, pcrs) {
			mrs = append(mrs, register.PCR{Index: i, Digest: v, DigestAlg: b.hash})
		}
		if _, err := el.Verify(mrs); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// TestFactsGolden is what real boots prove.
func TestFactsGolden(t *testing.T) {
	got := map[string]Facts{}
	for _, r := range recordings(t) {
		if r.Bank == "sha1" && !strings.Contains(r.Log, "debian") {
			continue
		}
		b, err := replayAny(mustParse(t, readVector(t, r.Log)), r.Kind, r.Bank, r.registers(t))
		if err != nil {
			t.Fatal(err)
		}
		got[path.Base(r.Log)+" "+r.Bank] = b.Facts()
	}
	d := readDump(t, "legacydata/windows_gcp_shielded_vm.json")
	l := mustParse(t, d.Log.Raw)
	b, err := l.replay(mustBank(t, "sha1"), pcrs, own(l, mustBank(t, "sha1"), pcrs))
	if err != nil {
		t.Fatal(err)
	}
	got["windows sha1"] = b.Facts()
	compareGolden(t, "testdata/facts.json", got)
}

func compareGolden(t *testing.T, file string, got map[string]Facts) {
	t.Helper()
	shown := map[string]any{}
	for name, f := range got {
		shown[name] = show(f)
	}
	raw, err := json.MarshalIndent(shown, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw, '\n')
	if *update {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(raw)); diff != "" {
		t.Errorf("facts differ (-want +got):\n%s", diff)
	}
}

// show makes facts readable: digests as hex, scripts as their length and ends.
func show(f Facts) map[string]any {
	m := map[string]any{"missing": f.Missing}
	put(m, "secure_boot", f.SecureBoot, func(v bool) any { return v })
	for name, k := range map[string]*Fact[[32]byte]{"pk": f.PK, "kek": f.KEK, "db": f.DB, "dbx": f.DBX} {
		put(m, name, k, func(v [32]byte) any { return hex.EncodeToString(v[:]) })
	}
	list := func(v [][]byte) any {
		var s []string
		for _, d := range v {
			s = append(s, hex.EncodeToString(d))
		}
		return s
	}
	put(m, "images", f.Images, list)
	put(m, "firmware", f.Firmware, list)
	text := func(v string) any { return v }
	put(m, "firmware_version", f.FirmwareVersion, text)
	put(m, "command_line", f.CommandLine, text)
	put(m, "script", f.Script, func(v []string) any { return fmt.Sprintf("%d lines: %q ... %q", len(v), v[0], v[len(v)-1]) })
	digest := func(v []byte) any { return hex.EncodeToString(v) }
	put(m, "load_options", f.LoadOptions, digest)
	put(m, "initrd", f.Initrd, digest)
	put(m, "sections", f.Sections, func(v []Section) any { return v })
	return m
}

func put[T any](m map[string]any, name string, f *Fact[T], value func(T) any) {
	if f == nil {
		return
	}
	m[name] = map[string]any{"value": value(f.Value), "register": f.Register, "events": fmt.Sprint(f.Events)}
}
