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
// there is no terminal.
const lineInterval = 5 * time.Second

// Progress shows the steps of a command: bars for bytes on a terminal, plain
// lines elsewhere. It is safe for concurrent use.
type Progress struct {
	w     io.Writer
	bars  *mpb.Progress // nil where there is no terminal
	mu    sync.Mutex    // guards all below
	open  map[string]*mpb.Bar
	lines map[string]time.Time
	start time.Time
}

// NewProgress writes to w, with bars when it is a terminal.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{w: w, open: map[string]*mpb.Bar{}, lines: map[string]time.Time{}, start: time.Now()}
	if IsTerminal(w) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return p
}

// Line writes one line, above the bars where there are any.
func (p *Progress) Line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(format, args...)
}

func (p *Progress) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.bars != nil {
		fmt.Fprintln(p.bars, text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// Bytes reports that done of total bytes of a step are through.
func (p *Progress) Bytes(step string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars == nil {
		if last, ok := p.lines[step]; ok && (time.Since(last) < lineInterval && done != total) || total == 0 {
			return
		}
		if done == total && p.lines[step].IsZero() {
			// Too fast to be worth a line before the one that ends the step.
			return
		}
		p.lines[step] = time.Now()
		p.line("%s: %s of %s", step, Size(done), Size(total))
		return
	}
	bar, ok := p.open[step]
	if !ok {
		bar = p.bars.AddBar(total, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(step, decor.WCSyncSpaceR), decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.AverageSpeed(decor.SizeB1024(0), " % .1f")))
		p.open[step] = bar
	}
	bar.SetTotal(total, false)
	bar.SetCurrent(done)
}

// End ends a step that reported bytes and takes its bar away.
func (p *Progress) End(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bar, ok := p.open[step]; ok {
		bar.Abort(true)
		delete(p.open, step)
	}
	delete(p.lines, step)
}

// Close takes all bars away and waits until the terminal is as it was.
func (p *Progress) Close() {
	p.mu.Lock()
	for step, bar := range p.open {
		bar.Abort(true)
		delete(p.open, step)
	}
	p.mu.Unlock()
	if p.bars != nil {
		p.bars.Wait()
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
