package ingress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// pacedBody is the body of an HTTP/1 request. It fails when the client pauses
// for too long; that deadline stands only while a read waits, since one that
// stood later would end the request itself.
//
// The app may answer while it still reads, which net/http has to be told: else
// it throws up to 256 KiB of the body away when an answer begins. In turn it
// must not be left to find the next request behind a body that nobody read to
// its end, so such a connection is closed after the answer.
type pacedBody struct {
	io.ReadCloser
	rc   *http.ResponseController
	conn *guardedConn

	mu       sync.Mutex // guards what follows
	eof      bool
	finished bool
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// pace takes over the body of a request.
func (i *Ingress) pace(w http.ResponseWriter, req *http.Request) *pacedBody {
	b := &pacedBody{ReadCloser: req.Body, rc: http.NewResponseController(w)}
	conn := req.Context().Value(connKey{})
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	b.conn, _ = conn.(*guardedConn)
	if err := b.rc.EnableFullDuplex(); err != nil {
		i.log.DebugContext(req.Context(), "no full duplex", "error", err)
	}
	return b
}

// Read waits for at most the body timeout.
func (b *pacedBody) Read(p []byte) (int, error) {
	if err := b.deadline(time.Now().Add(bodyTimeout)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		// The server watches the connection from here on, and clears the deadline.
		b.mu.Lock()
		defer b.mu.Unlock()
		b.eof = true
		return n, err
	}
	if clearErr := b.deadline(time.Time{}); err == nil {
		err = clearErr
	}
	return n, err
}

// deadline leaves the connection alone once it is the server's again: the
// transport may still be reading when the handler returns.
func (b *pacedBody) deadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return http.ErrBodyReadAfterClose
	}
	return b.rc.SetReadDeadline(t)
}

// early has the connection closed after an answer that begins before the
// body's end. A nil body has no such answers.
func (b *pacedBody) early(header http.Header) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.eof {
		header.Set("Connection", "close")
	}
}

// finish gives the connection back to the server. It may read a little of what
// is left, so that the client sees the answer and not a reset.
func (b *pacedBody) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished = true
	if !b.eof && b.conn != nil {
		b.conn.linger(lingerTime)
	}
}
