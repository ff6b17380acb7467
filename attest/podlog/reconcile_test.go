package podlog

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"apocryph/proto/status"
)

func TestReconcile(t *testing.T) {
	rs := sample(t)[:3]
	heads := []Head{{}}
	for _, r := range rs {
		heads = append(heads, must[Head](t)(heads[len(heads)-1].Extend(r)))
	}
	both := heads[3].boot()
	foreign := Head{SHA256: sha256.Sum256([]byte("foreign"))}.boot()
	read := func(n int, marked bool) Journal {
		j, _, _, err := ReadJournal(journalOf(t, testKey, rs[:n], marked), testKey)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	with := func(b Boot, f func(*Boot)) Boot { f(&b); return b }
	for name, tt := range map[string]struct {
		journal Journal
		now     Boot
		want    Plan
		reason  string
	}{
		"empty log":                 {read(0, true), heads[0].boot(), Plan{}, ""},
		"all done":                  {read(3, true), both, Plan{}, ""},
		"all done, one bank":        {read(3, true), with(both, func(b *Boot) { b.SHA384 = nil }), Plan{}, ""},
		"all done, other bank":      {read(3, true), with(both, func(b *Boot) { b.SHA256 = nil }), Plan{}, ""},
		"before the extension":      {read(3, false), heads[2].boot(), Plan{Extend: &rs[2], Mark: true}, ""},
		"before the first":          {read(1, false), heads[0].boot(), Plan{Extend: &rs[0], Mark: true}, ""},
		"before the mark":           {read(3, false), both, Plan{Mark: true}, ""},
		"reset":                     {read(3, true), heads[0].boot(), Plan{}, "podlog.register"},
		"reset, pending":            {read(3, false), heads[0].boot(), Plan{}, "podlog.register"},
		"marked but not extended":   {read(3, true), heads[2].boot(), Plan{}, "podlog.register"},
		"file cut back":             {read(2, true), both, Plan{}, "podlog.register"},
		"file cut back to pending":  {read(2, false), both, Plan{}, "podlog.register"},
		"foreign extension":         {read(3, true), foreign, Plan{}, "podlog.register"},
		"foreign, pending":          {read(3, false), foreign, Plan{}, "podlog.register"},
		"foreign in an empty log":   {read(0, true), foreign, Plan{}, "podlog.register"},
		"banks disagree":            {read(3, false), Boot{epoch, heads[3].SHA256[:], heads[2].SHA384[:]}, Plan{}, "podlog.register"},
		"banks disagree, marked":    {read(3, true), Boot{epoch, heads[2].SHA256[:], heads[3].SHA384[:]}, Plan{}, "podlog.register"},
		"two behind":                {read(3, false), heads[1].boot(), Plan{}, "podlog.register"},
		"another boot":              {read(3, true), with(heads[0].boot(), func(b *Boot) { b.Epoch = []byte{9} }), Plan{}, "podlog.epoch"},
		"another boot, same values": {read(3, true), with(both, func(b *Boot) { b.Epoch = []byte{9} }), Plan{}, "podlog.epoch"},
		"another boot, pending":     {read(1, false), with(heads[0].boot(), func(b *Boot) { b.Epoch = []byte{9} }), Plan{}, "podlog.epoch"},
		"no register":               {read(3, true), Boot{Epoch: epoch}, Plan{}, "podlog.bank"},
		"no register, pending":      {read(3, false), Boot{Epoch: epoch}, Plan{}, "podlog.bank"},
		"short value":               {read(3, false), with(both, func(b *Boot) { b.SHA256 = b.SHA256[:31] }), Plan{}, "podlog.register"},
		"empty value":               {read(3, false), with(both, func(b *Boot) { b.SHA256 = []byte{} }), Plan{}, "podlog.register"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.journal.Reconcile(tt.now)
			if status.ReasonOf(err) != tt.reason {
				t.Fatalf("got %v, want %q", err, tt.reason)
			}
			if got.Mark != tt.want.Mark || (got.Extend == nil) != (tt.want.Extend == nil) || got.Extend != nil && *got.Extend != *tt.want.Extend {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// crashed is how the machine below dies.
type crashed struct{}

// machine has a file, of which every written byte survives a kill, and a
// register, which can only be extended.
type machine struct {
	file     []byte
	register Head
	extended map[Record]int
	// left is how many ticks there are until the crash; -1 is never.
	left int
}

func (m *machine) tick() {
	if m.left == 0 {
		panic(crashed{})
	}
	m.left--
}

func (m *machine) write(b []byte) {
	for i := range b {
		m.tick()
		m.file = append(m.file, b[i])
	}
}

func (m *machine) extend(r Record) {
	m.tick()
	m.register.SHA256 = sha256.Sum256(bytes.Join([][]byte{m.register.SHA256[:], h256(r.preimage(nil))}, nil))
	m.register.SHA384 = [48]byte(h384(append(m.register.SHA384[:], h384(r.preimage(nil))...)))
	m.extended[r]++
	m.tick()
}

// run is a provider from its start to its end, or to its crash: it recovers,
// and then logs events until there are enough. It reports whether it got there.
func (m *machine) run(t *testing.T, ticks, events int) (done bool) {
	defer func() {
		if r := recover(); r != nil {
			if r != (crashed{}) {
				panic(r)
			}
			done = false
		}
	}()
	m.left = ticks
	j, _, intact, err := ReadJournal(m.file, testKey)
	if err != nil {
		t.Fatal(err)
	}
	m.tick()
	m.file = m.file[:intact]
	m.tick()
	plan, err := j.Reconcile(m.register.boot())
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	if plan.Extend != nil {
		m.extend(*plan.Extend)
	}
	var b []byte
	if plan.Mark {
		if j, b, err = j.Mark(); err != nil {
			t.Fatal(err)
		}
		m.write(b)
	}
	for j.Head.Length < uint64(events) {
		// A salt is drawn anew for an event whose record was lost.
		r, _, err := Seal(j.Head.Length, &Ready{at}, salt(uint64(1000+len(m.extended)*1000+m.left)))
		if err != nil {
			t.Fatal(err)
		}
		if j, b, err = j.Record(r); err != nil {
			t.Fatal(err)
		}
		m.write(b)
		m.extend(r)
		if j, b, err = j.Mark(); err != nil {
			t.Fatal(err)
		}
		m.write(b)
	}
	return true
}

// A crash at every byte written and around every extension, and a second one at
// every step of the recovery, never extends anything twice or not at all.
func TestNoCrashExtendsTwice(t *testing.T) {
	const events = 3
	start := must[Head](t)(Begin(h256([]byte("shim")), h384([]byte("shim"))))
	_, header, err := NewJournal(start.boot(), testKey)
	if err != nil {
		t.Fatal(err)
	}
	crashes := 0
	for first := 0; ; first++ {
		finished := false
		for second := 0; ; second++ {
			m := &machine{file: bytes.Clone(header), register: start, extended: map[Record]int{}}
			if finished = m.run(t, first, events); finished {
				break
			}
			crashes++
			again := m.run(t, second, events)
			for !again {
				again = m.run(t, -1, events)
			}
			m.judge(t, start, events)
			// The longest recovery is two ticks, an extension and a mark.
			if second > 2+2+frameHead+markSize+tagSize {
				break
			}
		}
		if finished {
			break
		}
	}
	if crashes < 1000 {
		t.Errorf("only %d crashes were tried", crashes)
	}
}

func (m *machine) judge(t *testing.T, start Head, events int) {
	t.Helper()
	j, rs, intact, err := ReadJournal(m.file, testKey)
	if err != nil || intact != len(m.file) || len(rs) != events {
		t.Fatalf("%d records, %d of %d bytes intact: %v", len(rs), intact, len(m.file), err)
	}
	if _, ok := j.Pending(); ok {
		t.Fatal("a record is still pending")
	}
	if len(m.extended) != events {
		t.Fatalf("%d records were extended, %d are in the log", len(m.extended), events)
	}
	for _, r := range rs {
		if m.extended[r] != 1 {
			t.Fatalf("record %d was extended %d times", r.Seq, m.extended[r])
		}
	}
	if _, err := CheckReplay(rs, start, SHA256, m.register.SHA256[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckReplay(rs, start, SHA384, m.register.SHA384[:]); err != nil {
		t.Fatal(err)
	}
}
