package httpapi

import (
	"net/http"
	"time"
)

// writer is the answer: it notes whether there is one, keeps a copy for the
// caller's Idempotency-Key, and gives each write of a long answer its own time.
type writer struct {
	http.ResponseWriter
	code    int
	patient bool
	// copy is nil where no copy is kept, whole says that it is not cut.
	copy  *[]byte
	whole bool
	dead  time.Time
}

// maxCopy bounds an answer that is kept for a repeat.
const maxCopy = 256 << 10

func (w *writer) WriteHeader(code int) {
	if w.code == 0 && code >= 200 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	if w.copy != nil && w.whole {
		if w.whole = len(*w.copy)+len(b) <= maxCopy; w.whole {
			*w.copy = append(*w.copy, b...)
		}
	}
	if now := time.Now(); w.patient && w.dead.Sub(now) < writeTimeout/2 {
		w.dead = now.Add(writeTimeout)
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(w.dead)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// flush sends what was written on its way.
func (w *writer) flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }
