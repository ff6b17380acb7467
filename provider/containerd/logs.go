package containerd

import (
	"context"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// pollLogs is how often a follower looks for more.
	pollLogs = 200 * time.Millisecond
	// maxTail bounds the lines, and maxTailBytes their bytes, that are kept in
	// memory for a reader who asks for the last ones.
	maxTail      = 10_000
	maxTailBytes = 8 << 20
)

// ReadLogs reads what containers wrote, merged by time; see [provider.Logs].
// With q.Follow it returns the error of ctx when that ends, and nil when the
// instance is removed.
func (r *Runtime) ReadLogs(ctx context.Context, q provider.LogQuery, fn func(provider.LogLine) error) error {
	if _, _, err := r.use(ctx, ""); err != nil {
		return err
	}
	rec, err := r.get(q.Instance)
	if err != nil {
		return err
	}
	if q.Container != "" {
		if _, ok := rec.container(q.Container); !ok {
			return status.New(status.NotFound, "container.unknown", "instance %s has no container %q", q.Instance, q.Container)
		}
	}
	m := &merger{since: q.Since}
	defer m.close()
	for _, c := range rec.Containers {
		if q.Container == "" || q.Container == c.Name {
			m.logs = append(m.logs, &logReader{container: c.Name, path: r.dirs.logFile(q.Instance, c.Name)})
		}
	}
	last := lastLines{max: min(max(q.Tail, 0), maxTail)}
	if last.max > 0 {
		if err := m.each(ctx, last.add); err != nil {
			return err
		}
		for _, l := range last.lines {
			if err := fn(l); err != nil {
				return err
			}
		}
	}
	if err := m.each(ctx, fn); err != nil || !q.Follow {
		return err
	}
	tick := time.NewTicker(pollLogs)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		_, gone := r.get(q.Instance)
		if err := m.each(ctx, fn); err != nil {
			return err
		}
		if gone != nil {
			return nil
		}
	}
}

// merger reads several logs in the order of time.
type merger struct {
	since time.Time
	logs  []*logReader
}

// each calls fn for every line that is there now.
func (m *merger) each(ctx context.Context, fn func(provider.LogLine) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var first *logReader
		for _, l := range m.logs {
			if err := l.fill(); err != nil {
				return err
			}
			if l.head != nil && (first == nil || l.head.Time.Before(first.head.Time)) {
				first = l
			}
		}
		if first == nil {
			return nil
		}
		line := *first.head
		first.head = nil
		if line.Time.Before(m.since) {
			continue
		}
		if err := fn(line); err != nil {
			return err
		}
	}
}

func (m *merger) close() {
	for _, l := range m.logs {
		l.close()
	}
}

// lastLines keeps the last lines that are added.
type lastLines struct {
	max   int
	bytes int
	lines []provider.LogLine
}

func (l *lastLines) add(line provider.LogLine) error {
	l.lines = append(l.lines, line)
	l.bytes += len(line.Text)
	for len(l.lines) > l.max || l.bytes > maxTailBytes && len(l.lines) > 1 {
		l.bytes -= len(l.lines[0].Text)
		l.lines = l.lines[1:]
	}
	return nil
}
