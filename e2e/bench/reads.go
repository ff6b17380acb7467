package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// readers are connections that are kept, each with one call at a time.
	readers = 16
	// readTime is for one count of calls.
	readTime = 5 * time.Second
	// listed is how many apps there are and one page has.
	listed = 20
)

// reads counts calls that change nothing.
func (b *bench) reads(ctx context.Context) (err error) {
	d, err := b.openDoor(ctx, "reads")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.leave(ctx)) }()
	var app object
	for i := range listed {
		if err := d.call(ctx, http.MethodPost, "/api/v1/apps", map[string]string{"name": fmt.Sprintf("app-%d", i)}, &app); err != nil {
			return err
		}
	}
	for _, of := range []struct{ name, path string }{
		{"one app", "/api/v1/apps/" + app.ID},
		{fmt.Sprintf("a list of %d apps", listed), "/api/v1/apps"},
	} {
		var ours sample
		var share float64
		for i := range b.n {
			note("reading %s, %d of %d", of.name, i+1, b.n)
			b.settle(ctx)
			used := processorTime(d.cmd.Process.Pid)
			n, took, err := d.read(ctx, of.path)
			if err != nil {
				return err
			}
			ours = append(ours, float64(n)/took.Seconds())
			share += (processorTime(d.cmd.Process.Pid) - used).Seconds() / took.Seconds() / float64(b.n)
		}
		measure := fmt.Sprintf("API, reads of %s, %d connections (the provider has %.1f processors, the callers the rest)", of.name, readers, share)
		b.table.add(row{measure: measure, ours: ours, yardstick: "-", unit: "/s", least: 5000})
	}
	return nil
}

// read asks as fast as the connections answer, and says how many calls that were.
func (d *door) read(ctx context.Context, path string) (calls int, took time.Duration, err error) {
	start := time.Now()
	counts, errs := make([]int, readers), make([]error, readers)
	var group sync.WaitGroup
	for i := range readers {
		group.Go(func() { counts[i], errs[i] = d.readAlone(ctx, path, start.Add(readTime)) })
	}
	group.Wait()
	took = time.Since(start)
	for _, n := range counts {
		calls += n
	}
	return calls, took, errors.Join(errs...)
}

// readAlone is one connection. It writes requests itself: a whole client would
// take as much of the processors as what is measured.
func (d *door) readAlone(ctx context.Context, path string, end time.Time) (n int, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.info.API)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, d.info.API, d.token)
	in := bufio.NewReader(conn)
	for ; ctx.Err() == nil && time.Now().Before(end); n++ {
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return n, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("reading %s: %s", path, res.Status)
		}
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return n, err
		}
	}
	return n, ctx.Err()
}
