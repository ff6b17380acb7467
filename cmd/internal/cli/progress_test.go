//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// shown is a pseudo-terminal and everything that was written to it.
type shown struct {
	tty    *os.File
	master *os.File
	end    chan struct{}

	mu   sync.Mutex
	text strings.Builder
	more *sync.Cond
}

func terminal(t *testing.T) *shown {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &shown{tty: tty, master: master, end: make(chan struct{})}
	s.more = sync.NewCond(&s.mu)
	go func() {
		defer close(s.end)
		_, _ = io.Copy(s, master) // ends with EIO when the terminal is closed
	}()
	return s
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.more.Broadcast()
	return s.text.Write(p)
}

// wait returns when the terminal has shown a text; the test's own time bounds it.
func (s *shown) wait(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(s.text.String(), text) {
		s.more.Wait()
	}
}

// done closes the terminal and returns all that it has shown.
func (s *shown) done() string {
	_ = s.tty.Close()
	<-s.end
	_ = s.master.Close()
	return s.text.String()
}

func TestBarsOnATerminal(t *testing.T) {
	term := terminal(t)
	screen := &Screen{w: term.tty}
	p := NewProgress(screen)
	p.Line("verdict   \x1b[31maffirmed")
	p.Bytes("encrypt   web", 1<<20, 4<<20)
	p.Bytes("fetch", 1, 0) // a total that nobody knows
	term.wait("1.0 MiB / 4.0 MiB")
	fmt.Fprintln(screen, "a log line")
	p.Bytes("encrypt   web", 3<<20, 4<<20)
	term.wait("3.0 MiB / 4.0 MiB")
	p.Bytes("encrypt   web", 4<<20, 4<<20)
	p.End("encrypt   web")
	p.End("encrypt   web")
	p.Bytes("open to the end", 1, 2)
	p.Line("done")
	p.Close()
	p.Close()
	fmt.Fprintln(screen, "after")
	text := term.done()
	for _, want := range []string{"verdict    [31maffirmed", "encrypt   web", "75 %", "a log line", "done", "after"} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal lacks %q:\n%q", want, text)
		}
	}
	if !strings.Contains(text, "\x1b[") {
		t.Error("nothing was drawn over")
	}
	// Wherever "^C" has moved the cursor to.
	for _, want := range []string{"\rverdict", "\rencrypt", "\ra log line", clearLine + "after"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not begin its line:\n%q", want, text)
		}
	}
	if end := text[strings.LastIndex(text, "\x1b[J"):]; strings.Contains(end, "%") {
		t.Errorf("a bar is left: %q", end)
	}
}

func TestLinesElsewhere(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := NewProgress(&out)
	p.now = func() time.Time { return now }
	after := func(d time.Duration, name string, done, total int64) {
		now = now.Add(d)
		p.Bytes(name, done, total)
	}
	p.Line("attest    %s", "12D3\x1b]0;x\x07\n")
	after(0, "quick", 1, 10)
	after(time.Second, "quick", 10, 10)
	p.End("quick")
	after(0, "slow", 1024, 10240)
	after(lineInterval, "slow", 2048, 10240)
	after(time.Second, "slow", 3072, 10240)
	after(lineInterval, "slow", 4096, 10240)
	after(time.Hour, "unknown", 5, 0)
	p.End("slow")
	p.Line("done")
	p.Close()
	want := "attest    12D3 ]0;x  \nslow: 2.0 KiB of 10.0 KiB\nslow: 4.0 KiB of 10.0 KiB\ndone\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestLogger(t *testing.T) {
	term := terminal(t)
	for _, tt := range []struct {
		w      io.Writer
		format string
		json   bool
	}{{new(bytes.Buffer), "", true}, {new(bytes.Buffer), "text", false}, {&Screen{w: term.tty}, "", false}, {term.tty, "json", true}} {
		log, err := NewLogger(tt.w, "warn", tt.format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("quiet")
		log.Warn("loud", "peer", "\x1b[2J")
		b, ok := tt.w.(*bytes.Buffer)
		if ok && (strings.HasPrefix(b.String(), "{") != tt.json || strings.Contains(b.String(), "quiet") || strings.Contains(b.String(), "\x1b")) {
			t.Errorf("format %q: %q", tt.format, b.String())
		}
	}
	text := term.done()
	if !strings.HasPrefix(text, "time=") || !strings.Contains(text, `{"time"`) || strings.Contains(text, "\x1b") {
		t.Errorf("the terminal shows %q", text)
	}
	for _, bad := range [][2]string{{"loud", ""}, {"info", "xml"}} {
		if _, err := NewLogger(io.Discard, bad[0], bad[1]); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
