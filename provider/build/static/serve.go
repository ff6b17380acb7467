package static

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// Drain is how long requests may go on after the end was asked for.
	Drain = 10 * time.Second

	headerTimeout = 10 * time.Second
	// readTimeout is for a body that nobody wants; nothing here reads one.
	readTimeout = 20 * time.Second
	idleTimeout = 75 * time.Second
	// stallTimeout is how long a client may take none of the answer: each one
	// that stalls costs a goroutine and a file.
	stallTimeout = 30 * time.Second
	// maxHeader bounds the bytes of a request's headers.
	maxHeader = 16 << 10
	// maxLoggedPath bounds what a client can write to the log with one request.
	maxLoggedPath = 256
)

// Serve answers connections of l with h and writes a line for each request to
// log. When ctx ends it takes no more connections, lets requests finish for
// [Drain], and returns nil.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log io.Writer) error {
	s := &http.Server{
		Handler:           logged(h, log),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(limit(l, maxConns, roomWait)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), Drain)
	defer cancel()
	err := s.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.Close()
	}
	<-ended
	return err
}

// logged writes "GET /path 200 1234 3ms" for each request.
func logged(h http.Handler, log io.Writer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		out := &recorder{ResponseWriter: w, control: http.NewResponseController(w), code: http.StatusOK}
		// An answer without a body is written when the handler has returned.
		out.extend()
		h.ServeHTTP(out, r)
		method := r.Method
		if len(method) > 16 {
			method = method[:16]
		}
		path := r.URL.Path
		if len(path) > maxLoggedPath {
			path = path[:maxLoggedPath]
		}
		// Quoted, for a path may have line breaks. A log that is gone stops nobody.
		_, _ = fmt.Fprintf(log, "%s %q %d %d %s\n", method, path, out.code, out.bytes, time.Since(begun).Round(time.Microsecond))
	})
}

// recorder counts what is sent and gives each write its own time.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	code    int
	bytes   int64
}

// WriteHeader notes the code.
func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// extend gives the connection time for what is written next. One that is gone
// already fails in the write.
func (r *recorder) extend() { _ = r.control.SetWriteDeadline(time.Now().Add(stallTimeout)) }

// Write sends a piece of the body, which the client must take in time.
func (r *recorder) Write(p []byte) (int, error) {
	r.extend()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}
