package podlog

import (
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range events() {
		got := Describe(e)
		if !strings.HasPrefix(got, "2026-11-21T10:00:00.120Z") || strings.Contains(got, "%!") || seen[got] {
			t.Errorf("%s: got %q", e.Type(), got)
		}
		if id, ok := podOf(e); ok && !strings.Contains(got, "pod="+id+" ") {
			t.Errorf("%s does not name its pod: %q", e.Type(), got)
		}
		seen[got] = true
	}
	if got := Describe(nil); got != "" {
		t.Errorf("nothing is described as %q", got)
	}
}
