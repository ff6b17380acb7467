package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// lineInterval is how often a step that reports bytes writes a line where
// there is no terminal. A step that is done sooner writes none.
const lineInterval = 5 * time.Second

// Progress shows the steps of a command: bars for bytes on a terminal, plain
// lines elsewhere. It is safe for concurrent use.
type Progress struct {
	screen *Screen
	bars   *mpb.Progress // nil where there is no terminal
	now    func() time.Time

	mu   sync.Mutex // guards open
	open map[string]*step
}

// step is one that reports bytes and has not ended.
type step struct {
	bar *mpb.Bar
	// told is when its last line was due.
	told time.Time
}

// NewProgress writes to w, with bars when it is a terminal.
func NewProgress(w io.Writer) *Progress {
	screen, ok := w.(*Screen)
	if !ok {
		screen = &Screen{w: w}
	}
	p := &Progress{screen: screen, open: map[string]*step{}, now: time.Now}
	if IsTerminal(screen) {
		p.bars = mpb.New(mpb.WithOutput(screen.w), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
		screen.show(p.bars)
	}
	return p
}

// Line writes one line, above the bars where there are any. What a stranger
// may have written in it is made harmless.
func (p *Progress) Line(format string, args ...any) {
	fmt.Fprintln(p.screen, Clean(fmt.Sprintf(format, args...)))
}

// Bytes reports that done of total bytes of a step are through.
func (p *Progress) Bytes(name string, done, total int64) {
	if total <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.open[name]
	if !ok {
		s = &step{told: p.now()}
		p.open[name] = s
		if p.bars != nil {
			s.bar = p.bars.AddBar(total, mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(
					decor.Name(column0+Clean(name), decor.WCSyncSpaceR),
					decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncWidth),
				),
				mpb.AppendDecorators(
					decor.Percentage(decor.WC{W: 5}),
					decor.AverageSpeed(decor.SizeB1024(0), "% .1f", decor.WC{W: 12}),
				))
		}
	}
	if s.bar != nil {
		s.bar.SetTotal(total, false)
		s.bar.SetCurrent(done)
		return
	}
	if p.now().Sub(s.told) >= lineInterval {
		s.told = p.now()
		p.Line("%s: %s of %s", name, Size(done), Size(total))
	}
}

// End ends a step that reported bytes and takes its bar away.
func (p *Progress) End(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.open[name]; ok {
		p.end(name, s)
	}
}

func (p *Progress) end(name string, s *step) {
	if s.bar != nil {
		s.bar.Abort(true)
		s.bar.Wait()
	}
	delete(p.open, name)
}

// Close takes all bars away and waits until the terminal is as it was. Closing
// twice is harmless.
func (p *Progress) Close() {
	p.mu.Lock()
	for name, s := range p.open {
		p.end(name, s)
	}
	p.mu.Unlock()
	if p.bars != nil {
		p.bars.Wait()
		p.screen.show(nil)
	}
}

// Size writes a number of bytes for people.
func Size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	div, exp := int64(unit), 0
	for m := n / unit; m >= unit && exp < 5; m /= unit {
		div *= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTPE"[exp])
}
