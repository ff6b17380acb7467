package static

import (
	"net"
	"sync"
	"time"
)

const (
	// maxConns bounds the connections at once: each costs a goroutine and a file,
	// and clients who open them and ask for nothing are told apart after
	// headerTimeout at the earliest.
	maxConns = 1024
	// roomWait is how long a connection waits for another one to end. It is closed
	// then, so that nobody waits behind those who do not end.
	roomWait = 5 * time.Second
)

// limited is a listener of at most so many connections as slots has room for.
type limited struct {
	net.Listener
	slots chan struct{}
	wait  time.Duration
	once  sync.Once
	done  chan struct{}
}

func limit(l net.Listener, most int, wait time.Duration) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, most), wait: wait, done: make(chan struct{})}
}

// Accept returns the next connection that there is room for in time.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		timer := time.NewTimer(l.wait)
		select {
		case l.slots <- struct{}{}:
			timer.Stop()
			return &counted{Conn: c, leave: func() { <-l.slots }}, nil
		case <-timer.C:
			_ = c.Close() // refused
		case <-l.done:
			timer.Stop()
			_ = c.Close() // refused
		}
	}
}

// Close also ends the wait for room.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// counted has a slot until it is closed.
type counted struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close is counted once.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}

// CloseWrite lets net/http end an answer before the request's body was read.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}
