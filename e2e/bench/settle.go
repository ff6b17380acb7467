package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// look is how long the processors are watched, patience how long a timing
	// waits for them to be idle.
	look     = 500 * time.Millisecond
	patience = 20 * time.Second
	// idleEnough is the share of idle time from which a machine counts as idle.
	idleEnough = 0.85
)

// settle lets the disk finish what the last measurement left to it, and waits
// for a moment at which nothing else keeps the processors busy.
func (b *bench) settle(ctx context.Context) {
	syscall.Sync()
	b.timings++
	for end := time.Now().Add(patience); ; {
		idle, all := processors()
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return
		}
		idleNow, allNow := processors()
		if float64(idleNow-idle) >= idleEnough*float64(allNow-all) {
			return
		}
		if time.Now().After(end) {
			b.disturbed++
			return
		}
	}
}

// processors is the time that all processors were idle, and their time in all,
// since the machine started (proc(5), /proc/stat).
func processors() (idle, all uint64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	for i, word := range strings.Fields(first)[1:] {
		n, _ := strconv.ParseUint(word, 10, 64)
		all += n
		if i == 3 || i == 4 { // idle, and waiting for a disk
			idle += n
		}
	}
	return idle, all
}
