package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// slowUploads are those who send a byte each slowPause.
	slowUploads = 1000
	slowPause   = time.Second
	// slowTime is for how long all of them try: longer than an upload may stall.
	slowTime = 50 * time.Second
	// slowTokens are that many callers, for a single one has a quarter of what all
	// may occupy.
	slowTokens = 8
	// probePause is between two of the calls that are to stay quick.
	probePause = 10 * time.Millisecond
	// tailRank is the percentile that is told of them.
	tailRank = 0.99
)

// crawl is what became of slow uploads.
type crawl struct {
	mu sync.Mutex // guards all below
	// refused were told when to come back, ended lost their connection or got an
	// answer that is none of success, other is by status.
	refused, ended int
	other          map[string]int
	// open had no answer for two of their pauses, most is how many were so at once.
	open, most int
	// waited is how long a refusal took.
	waited sample
}

// slow has a thousand uploads crawl and asks something else meanwhile.
func (b *bench) slow(ctx context.Context) (err error) {
	if err := allowFiles(4 * slowUploads); err != nil {
		return err
	}
	d, err := b.openDoor(ctx, "slow")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.leave(ctx)) }()
	tokens := make([]string, slowTokens)
	for i := range tokens {
		if tokens[i], err = d.newToken(ctx, fmt.Sprint("slow-", i)); err != nil {
			return err
		}
	}
	b.settle(ctx)
	idle, err := d.probe(ctx, time.Now().Add(readTime))
	if err != nil {
		return err
	}
	pid := d.cmd.Process.Pid
	if err := forgetPeak(pid); err != nil {
		return err
	}
	before := statusKB(pid, "VmHWM")
	note("%d slow uploads", slowUploads)
	crawling, stop := context.WithTimeout(ctx, slowTime)
	defer stop()
	c := &crawl{other: map[string]int{}}
	var group sync.WaitGroup
	for i := range slowUploads {
		group.Go(func() { d.crawl(crawling, c, tokens[i%slowTokens], i%2 == 0) })
	}
	busy, err := d.probe(ctx, time.Now().Add(slowTime))
	stop()
	group.Wait()
	if err != nil {
		return err
	}
	grown := (statusKB(pid, "VmHWM") - before) * 1024 / 1e6
	note("answers by status: %v", c.other)
	name := fmt.Sprintf("%d slow uploads at once for %s", slowUploads, slowTime)
	count := func(measure string, n int) {
		b.table.add(row{measure: measure, ours: sample{float64(n)}, yardstick: "-"})
	}
	count(name+": refused with a time to come back", c.refused)
	count("the same: ended for being slow", c.ended)
	count("the same: open without an answer for 2 s, at most", c.most)
	if len(c.waited) > 0 {
		b.table.add(row{measure: "the same: until a refusal", ours: c.waited.times(1000), yardstick: "-", unit: "ms"})
	}
	b.table.add(row{measure: "the same: a list of apps meanwhile, 99th percentile", ours: sample{busy.percentile(tailRank) * 1000}, yardstick: "-", unit: "ms", most: 50})
	b.table.add(row{measure: "the same: the list before, 99th percentile", ours: sample{idle.percentile(tailRank) * 1000}, yardstick: "-", unit: "ms"})
	b.table.add(row{measure: "the same: provider, RSS from idle to peak", ours: sample{grown}, yardstick: "-", unit: "MB"})
	return nil
}

// percentile is the smallest value that a share of all does not exceed.
func (s sample) percentile(share float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

func (s sample) times(factor float64) sample {
	out := slices.Clone(s)
	for i := range out {
		out[i] *= factor
	}
	return out
}

// probe lists apps again and again; each takes so many seconds.
func (d *door) probe(ctx context.Context, end time.Time) (out sample, err error) {
	for time.Now().Before(end) {
		start := time.Now()
		if err := d.call(ctx, http.MethodGet, "/api/v1/apps", nil, nil); err != nil {
			return out, err
		}
		out = append(out, time.Since(start).Seconds())
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
	return out, nil
}

// crawl uploads slowly, and comes back as it is told, until ctx ends.
func (d *door) crawl(ctx context.Context, c *crawl, token string, small bool) {
	for ctx.Err() == nil {
		start := time.Now()
		code, wait, err := d.crawlOnce(ctx, c, token, small)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		told := "connection lost"
		if err == nil {
			told = strconv.Itoa(code)
		}
		c.other[told]++
		if (code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests) && wait > 0 {
			c.refused++
			c.waited = append(c.waited, time.Since(start).Seconds())
		} else {
			c.ended++
		}
		c.mu.Unlock()
		select {
		case <-time.After(max(wait, time.Second)):
		case <-ctx.Done():
		}
	}
}

// crawlOnce sends a deploy of a length byte by byte until there is an answer.
// A small one is less than what servers read to keep a connection.
func (d *door) crawlOnce(ctx context.Context, c *crawl, token string, small bool) (code int, wait time.Duration, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.info.API)
	if err != nil {
		return 0, 0, err
	}
	size := 1 << 30
	if small {
		size = 64 << 10
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /deploy HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\n", d.info.API, token, size)
	if err != nil {
		return 0, 0, err
	}
	answered := make(chan struct{})
	var res *http.Response
	var readErr error
	go func() {
		defer close(answered)
		res, readErr = http.ReadResponse(bufio.NewReader(conn), nil)
	}()
	tick := time.NewTicker(slowPause)
	defer tick.Stop()
	open := false
	defer func() {
		if open {
			c.enter(-1)
		}
	}()
	for n := 0; ; n++ {
		select {
		case <-answered:
			if readErr != nil {
				return 0, 0, readErr
			}
			after, _ := strconv.Atoi(res.Header.Get("Retry-After"))
			return res.StatusCode, time.Duration(after) * time.Second, nil
		case <-tick.C:
			if n == 2 {
				open = true
				c.enter(1)
			}
			// An answer may have come before the connection was closed for writing.
			_, _ = conn.Write([]byte{'a'})
		}
	}
}

func (c *crawl) enter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
	c.most = max(c.most, c.open)
}
