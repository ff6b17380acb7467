package providerd

import "testing"

func TestParseRange(t *testing.T) {
	if first, last, ok := parseRange("30000-32767"); first != 30000 || last != 32767 || !ok {
		t.Errorf("got %d-%d, %v", first, last, ok)
	}
	if _, _, ok := parseRange("7-7"); !ok {
		t.Error("a range of one port is refused")
	}
	for _, s := range []string{"", "-", "1", "1-", "-1", "2-1", "0-1", "1-65536", "65536-65537", "1-2-3", "1-2x", " 1-2", "+1-2", "1--2"} {
		if first, last, ok := parseRange(s); ok {
			t.Errorf("%q was read as %d-%d", s, first, last)
		}
	}
}
