package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// measured is what a role reports.
type measured struct {
	Bytes   int64
	Seconds float64
	// PeakKB is the most memory that the process held.
	PeakKB float64
}

// rate is in MB/s.
func (m measured) rate() float64 { return float64(m.Bytes) / 1e6 / m.Seconds }

// play runs this process as one end of a transfer. Servers run until their
// standard input ends.
func play(args []string) error {
	ctx := context.Background()
	if len(args) == 0 {
		return fmt.Errorf("no role")
	}
	role, args := args[0], args[1:]
	switch role {
	case "http-serve":
		return httpServe(args[0], args[1])
	case "http-fetch", "http-fetch-durable":
		durable := role == "http-fetch-durable"
		return measure(func(begin func()) (int64, error) { return httpFetch(ctx, args[0], args[1], durable, args[2:], begin) })
	case "content-fetch":
		return measure(func(begin func()) (int64, error) {
			return contentFetch(ctx, args[0], args[1], args[2], args[3], begin)
		})
	case "stock-serve":
		return stockServe(ctx, args[0], args[1], args[2:])
	case "stock-fetch":
		return measure(func(begin func()) (int64, error) { return stockFetch(ctx, args[0], args[1], args[2:], begin) })
	}
	return fmt.Errorf("unknown role %q", role)
}

// measure times fn from when it calls begin, which it does once it is connected.
func measure(fn func(begin func()) (int64, error)) error {
	var start time.Time
	n, err := fn(func() { start = time.Now() })
	if err != nil {
		return err
	}
	m := measured{Bytes: n, Seconds: time.Since(start).Seconds(), PeakKB: statusKB(os.Getpid(), "VmHWM")}
	return say(m)
}

func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// untilTold waits for the end of standard input.
func untilTold() { _, _ = io.Copy(io.Discard, os.Stdin) }
