package containerd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

func TestTail(t *testing.T) {
	w := &tail{max: 5}
	for _, s := range []string{"ab", "", "cdefghij", "k"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if got := string(w.bytes()); got != "ghijk" {
		t.Errorf("got %q", got)
	}
}

func TestLogRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.log")
	w, err := attendant.OpenLog(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r := &logReader{container: "c", path: path}
	defer r.close()
	m := merger{logs: []*logReader{r}}
	var got []string
	read := func() {
		t.Helper()
		if err := m.each(t.Context(), func(l provider.LogLine) error { got = append(got, string(l.Text)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	// Each file takes about a dozen lines: a follower that looks after every
	// seven sees all of them, across every rotation.
	for i := range 200 {
		line := strings.Repeat("x", 20) + string(rune('a'+i%26))
		want = append(want, line)
		if err := w.Write(attendant.Entry{At: time.Unix(int64(i), 0), Stream: attendant.StreamOut, Text: []byte(line)}); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			read()
		}
	}
	read()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Who begins now finds what three files hold, oldest first.
	late := &logReader{container: "c", path: path}
	defer late.close()
	m, got = merger{logs: []*logReader{late}}, nil
	read()
	if len(got) < 30 || len(got) > 60 {
		t.Errorf("%d lines are kept", len(got))
	}
	if diff := cmp.Diff(want[len(want)-len(got):], got); diff != "" {
		t.Error(diff)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != attendant.LogFiles {
		t.Errorf("files %v, %v", files, err)
	}
}

func TestLogReaderJoinsAndSkips(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.log")
	const log = "2026-01-02T03:04:05Z stdout P one \n" +
		"garbage\n" +
		"2026-01-02T03:04:06Z stderr F err\n" +
		"2026-01-02T03:04:07Z stdout F two\n" +
		"2026-01-02T03:04:08Z stdout F \n" +
		"2026-01-02T03:04:09Z stdout F cut"
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &logReader{container: "c", path: path}
	defer r.close()
	var got []string
	m := merger{logs: []*logReader{r}}
	if err := m.each(t.Context(), func(l provider.LogLine) error {
		got = append(got, l.Stream+" "+string(l.Text))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stderr err", "stdout one two", "stdout "}, got); diff != "" {
		t.Error(diff)
	}
}
