package cli

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"golang.org/x/term"
)

// column0 begins what is drawn while there are bars. Before each drawing the
// cursor goes up and not to the left, and who types Ctrl-C has moved it by the
// two characters of "^C".
const column0 = "\r"

// clearLine takes away what such a shift has left of the last bar.
const clearLine = "\r\x1b[K"

// Screen is standard error. While there are bars on it, what else is written
// (log lines, warnings) goes above them.
type Screen struct {
	w io.Writer

	mu   sync.Mutex // guards bars
	bars *mpb.Progress
}

// Write writes whole lines.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	bars := s.bars
	s.mu.Unlock()
	if bars != nil {
		_, err := bars.Write(append([]byte(column0), p...))
		if err == nil {
			return len(p), nil
		}
		if !errors.Is(err, mpb.ErrDone) {
			return 0, err
		}
	}
	return s.w.Write(p)
}

// show begins or, with nil, ends the time of bars.
func (s *Screen) show(bars *mpb.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars != nil && bars == nil {
		// Nothing depends on it: the next line would only begin further right.
		_, _ = io.WriteString(s.w, clearLine)
	}
	s.bars = bars
}

// IsTerminal reports whether what is written to w is seen on a terminal.
func IsTerminal(w io.Writer) bool {
	if s, ok := w.(*Screen); ok {
		w = s.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
