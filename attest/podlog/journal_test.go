package podlog

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

var (
	testKey = []byte("a key that the disk's owner does not have")
	epoch   = []byte{1, 2, 3}
)

func zeroBoot() Boot {
	return Boot{Epoch: epoch, SHA256: make([]byte, 32), SHA384: make([]byte, 48)}
}

func (h Head) boot() Boot { return Boot{Epoch: epoch, SHA256: h.SHA256[:], SHA384: h.SHA384[:]} }

// journalOf is the file of records, the last with a mark or without.
func journalOf(t testing.TB, key []byte, rs []Record, marked bool) []byte {
	t.Helper()
	j, file, err := NewJournal(zeroBoot(), key)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		var b []byte
		if j, b, err = j.Record(r); err != nil {
			t.Fatal(err)
		}
		file = append(file, b...)
		if i == len(rs)-1 && !marked {
			break
		}
		if j, b, err = j.Mark(); err != nil {
			t.Fatal(err)
		}
		file = append(file, b...)
	}
	return file
}

func TestJournalRoundTrip(t *testing.T) {
	rs := sample(t)
	for n := range len(rs) + 1 {
		for _, marked := range []bool{true, false} {
			file := journalOf(t, testKey, rs[:n], marked)
			j, got, intact, err := ReadJournal(file, testKey)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(slices.Clone(rs[:n]), slices.Clip(got), cmp.Transformer("empty", func(r []Record) []Record { return append([]Record{}, r...) })); diff != "" && n > 0 {
				t.Error(diff)
			}
			if intact != len(file) {
				t.Errorf("%d of %d bytes are intact", intact, len(file))
			}
			if want := must[Head](t)(Replay(rs[:n], Head{})); j.Head != want {
				t.Error("another head came back")
			}
			if p, ok := j.Pending(); ok != (n > 0 && !marked) || ok && p != rs[n-1] {
				t.Errorf("%d records, marked %v: pending %v %v", n, marked, p, ok)
			}
			if !bytes.Equal(j.Epoch, epoch) {
				t.Errorf("epoch %x", j.Epoch)
			}
		}
	}
}

// Whatever a crash cuts off, what comes back is the state before the last frame.
func TestJournalTorn(t *testing.T) {
	rs := sample(t)[:4]
	for _, marked := range []bool{true, false} {
		file := journalOf(t, testKey, rs, marked)
		ends := map[int]bool{}
		for n := range len(rs) + 1 {
			ends[len(journalOf(t, testKey, rs[:n], true))] = true
			ends[len(journalOf(t, testKey, rs[:n], false))] = true
		}
		header := len(journalOf(t, testKey, nil, true))
		last := 0
		for n := range len(file) + 1 {
			if ends[n] {
				last = n
			}
			_, got, intact, err := ReadJournal(file[:n], testKey)
			if n < header {
				refused(t, err, status.Internal, "podlog.journal")
				continue
			}
			if err != nil || intact != last {
				t.Errorf("cut to %d: got %d intact, %v; want %d", n, intact, err, last)
			}
			if _, again, _, err := ReadJournal(file[:intact], testKey); err != nil || !slices.Equal(got, again) {
				t.Errorf("cut to %d: what is intact is not the same: %v", n, err)
			}
		}
	}
}

// No bit may change anywhere in a file that is there as a whole, also not so
// that its end looks torn.
func TestEveryBitOfAJournalCounts(t *testing.T) {
	for _, marked := range []bool{true, false} {
		for _, key := range [][]byte{nil, testKey} {
			file := journalOf(t, key, sample(t)[:3], marked)
			for bit := range len(file) * 8 {
				file[bit/8] ^= 1 << (bit % 8)
				if _, _, _, err := ReadJournal(file, key); status.ReasonOf(err) != "podlog.journal" {
					t.Errorf("bit %d flipped: got %v", bit, err)
				}
				file[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
}

func TestReadJournalRefuses(t *testing.T) {
	rs := sample(t)[:3]
	file := journalOf(t, testKey, rs, true)
	one, two := journalOf(t, testKey, rs[:1], true), journalOf(t, testKey, rs[:2], true)
	header := journalOf(t, testKey, nil, true)
	// The owner of the disk puts another event in the place of a pending one.
	forged := journalOf(t, nil, []Record{{0, TypeAgentStart, [32]byte{66}}}, false)
	for name, tt := range map[string]struct{ file, key []byte }{
		"empty":              {nil, testKey},
		"another key":        {file, []byte("another")},
		"no key":             {file, nil},
		"header twice":       {slices.Concat(header, header), testKey},
		"record twice":       {slices.Concat(two, two[len(one):]), testKey},
		"record left out":    {slices.Concat(one, file[len(two):]), testKey},
		"frames swapped":     {slices.Concat(header, two[len(one):], one[len(header):], file[len(two):]), testKey},
		"zeros at the end":   {slices.Concat(file, make([]byte, 40)), testKey},
		"text":               {[]byte("apocryph"), testKey},
		"forged":             {forged, testKey},
		"forged, our header": {slices.Concat(header, forged[len(header):]), testKey},
	} {
		t.Run(name, func(t *testing.T) {
			_, rs, n, err := ReadJournal(tt.file, tt.key)
			refused(t, err, status.Internal, "podlog.journal")
			if rs != nil || n != 0 {
				t.Error("records came out")
			}
		})
	}
	_, _, _, err := ReadJournal(make([]byte, MaxJournal+1), nil)
	refused(t, err, status.InvalidArgument, "podlog.too_large")
}

func TestJournalSteps(t *testing.T) {
	rs := sample(t)
	j, _, err := NewJournal(zeroBoot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = j.Mark()
	refused(t, err, status.Conflict, "podlog.pending")
	_, _, err = j.Record(rs[1])
	refused(t, err, status.Untrusted, "podlog.gap")
	first, b1, err := j.Record(rs[0])
	if err != nil {
		t.Fatal(err)
	}
	same, b2, err := first.Record(rs[1])
	refused(t, err, status.Conflict, "podlog.pending")
	if b2 != nil || same.Head != first.Head {
		t.Error("a refused step went on")
	}
	// A step is a value: taken again from the same state it is the same.
	if _, again, _ := j.Record(rs[0]); !bytes.Equal(again, b1) {
		t.Error("the same step gave other bytes")
	}
	marked, _, err := first.Mark()
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = marked.Record(rs[0])
	refused(t, err, status.Untrusted, "podlog.duplicate")
	_, _, err = marked.Mark()
	refused(t, err, status.Conflict, "podlog.pending")
	for name, boot := range map[string]Boot{
		"no epoch":      {SHA256: make([]byte, 32)},
		"long epoch":    {Epoch: make([]byte, 65), SHA256: make([]byte, 32)},
		"no bank":       {Epoch: epoch},
		"swapped banks": {Epoch: epoch, SHA256: make([]byte, 48)},
	} {
		_, _, err := NewJournal(boot, nil)
		if status.ReasonOf(err) != "podlog.bank" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzReadJournal(f *testing.F) {
	for n := range 4 {
		f.Add(journalOf(f, nil, sample(f)[:n], true))
		b := journalOf(f, nil, sample(f)[:n], false)
		f.Add(b[:len(b)-n])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		j, rs, intact, err := ReadJournal(b, nil)
		if err != nil {
			return
		}
		if intact > len(b) || len(b)-intact >= maxFrame {
			t.Fatalf("%d of %d bytes are intact", intact, len(b))
		}
		if h, err := Replay(rs, j.Init); err != nil || h != j.Head {
			t.Fatalf("the head is not that of the records: %v", err)
		}
		again, rs2, n, err := ReadJournal(b[:intact], nil)
		if err != nil || n != intact || !slices.Equal(rs, rs2) || again.tag != j.tag {
			t.Fatalf("what is intact is not: %v", err)
		}
	})
}
