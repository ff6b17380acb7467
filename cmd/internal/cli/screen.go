package cli

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"golang.org/x/term"
)

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
		if n, err := bars.Write(p); !errors.Is(err, mpb.ErrDone) {
			return n, err
		}
	}
	return s.w.Write(p)
}

func (s *Screen) show(bars *mpb.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
