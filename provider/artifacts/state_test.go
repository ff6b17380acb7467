package artifacts

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

func FuzzDecodeState(f *testing.F) {
	st := &state{id: [idSize]byte{1}, length: -1, touched: time.Unix(5, 0), hash: []byte("abc")}
	f.Add(st.encode())
	st.segments = []segment{{size: 5}, {offset: 5, size: 1, tag: [tagSize]byte{2}}}
	f.Add(st.encode())
	st.length, st.complete, st.hash = 6, true, make([]byte, 32)
	f.Add(st.encode())
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := decodeState(b)
		if err != nil {
			return
		}
		if !bytes.Equal(st.encode(), b) {
			t.Errorf("%x is written again as %x", b, st.encode())
		}
		var at int64
		for _, g := range st.segments {
			if g.offset != at || g.size <= 0 {
				t.Errorf("a gap before %+v", g)
			}
			at += g.size
		}
	})
}

func TestDecodeStateRefuses(t *testing.T) {
	base := func() *state {
		return &state{length: 6, complete: true, hash: make([]byte, 32), segments: []segment{{size: 5}, {offset: 5, size: 1}}}
	}
	if _, err := decodeState(base().encode()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*state){
		"gap":                  func(s *state) { s.segments[1].offset = 6 },
		"overlap":              func(s *state) { s.segments[1].offset = 4 },
		"empty segment":        func(s *state) { s.segments[1].size = 0 },
		"negative segment":     func(s *state) { s.segments[1].size = -1 },
		"overflow":             func(s *state) { s.segments[1].size = 1<<63 - 1 },
		"complete and shorter": func(s *state) { s.length = 7 },
		"longer than declared": func(s *state) { s.length, s.complete = 5, false },
		"strange length":       func(s *state) { s.length, s.complete = -2, false },
		"short digest":         func(s *state) { s.hash = s.hash[:31] },
		"long hash state":      func(s *state) { s.complete, s.hash = false, make([]byte, maxHashState+1) },
	} {
		st := base()
		change(st)
		if _, err := decodeState(st.encode()); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	whole := base().encode()
	for n := range whole {
		if _, err := decodeState(whole[:n]); err == nil {
			t.Errorf("the first %d bytes are accepted", n)
		}
	}
	if _, err := decodeState(append(whole, 0)); err == nil {
		t.Error("a byte too much is accepted")
	}
}

// TestStateBytes fixes the format: stores of an earlier version must open.
func TestStateBytes(t *testing.T) {
	st := &state{
		id: [idSize]byte{0xaa, 15: 0xbb}, length: 6, touched: time.Unix(1_700_000_000, 0), complete: true,
		hash: bytes.Repeat([]byte{0xcc}, 32), segments: []segment{{size: 6, tag: [tagSize]byte{0xdd, 15: 0xee}}},
	}
	const want = "61706f637279706820617274696661637420737461746520310a" +
		"aa0000000000000000000000000000bb" + "0000000000000006" + "000000006553f100" + "01" +
		"0020" + "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" +
		"00000001" + "0000000000000000" + "0000000000000006" + "dd0000000000000000000000000000ee"
	if got := hex.EncodeToString(st.encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
