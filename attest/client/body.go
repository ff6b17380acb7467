package client

import (
	"io"
	"net/http"
	"sync"
)

// lentBody is a request's body that a failed attempt cannot close, so that the
// next one can still send it. Nil stands for no body.
type lentBody struct {
	body io.ReadCloser

	mu           sync.Mutex
	read, closed bool
	given        bool
}

func lend(req *http.Request) *lentBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	return &lentBody{body: req.Body}
}

// Read notes that the body is not whole any more.
func (l *lentBody) Read(p []byte) (int, error) {
	l.mu.Lock()
	l.read = true
	l.mu.Unlock()
	return l.body.Read(p)
}

// Close closes the body once it was given back.
func (l *lentBody) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	given := l.given
	l.mu.Unlock()
	if !given || !first {
		return nil
	}
	return l.body.Close()
}

// giveBack lets the attempt close the body, which it may have wanted already;
// with over it is closed in any case.
func (l *lentBody) giveBack(over bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	now := l.closed || over
	l.given, l.closed = true, now
	l.mu.Unlock()
	if now {
		// Nobody waits for what a body has to say at its end.
		_ = l.body.Close()
	}
}

// again is the body for another attempt, and false where it is gone.
func (l *lentBody) again(req *http.Request) (*lentBody, bool) {
	if l == nil {
		return nil, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read {
		return &lentBody{body: l.body}, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	// The first one has been read from; it is not needed any more.
	_ = l.body.Close()
	return &lentBody{body: body}, true
}
