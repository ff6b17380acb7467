package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"apocryph/proto/problem"
	"apocryph/proto/status"
)

// keyTTL is how long an answer is kept for a repeat.
const keyTTL = 24 * time.Hour

// kept is an answer, or the note that one is being made.
type kept struct {
	Subject string      `json:"subject"`
	Body    []byte      `json:"body_sha256"`
	Code    int         `json:"code"`
	Header  http.Header `json:"header"`
	Answer  []byte      `json:"answer"`
	At      time.Time   `json:"at"`
	running bool
}

// answers keeps what was answered to Idempotency-Keys.
type answers struct {
	store Documents
	most  int
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	loaded bool
	byKey  map[string]*kept
}

func newAnswers(store Documents, most int, now func() time.Time, log *slog.Logger) *answers {
	return &answers{store: store, most: most, now: now, log: log, byKey: map[string]*kept{}}
}

// attempt is one call with an Idempotency-Key.
type attempt struct {
	key string
	// earlier is the answer that was given before, nil for a first call.
	earlier *kept
	settled bool
	body    [sha256.Size]byte
}

// errReplay ends a handler whose answer is there already.
var errReplay = errors.New("the answer is replayed")

// replayed are the headers that belong to an answer, not to a connection.
var replayed = []string{"Content-Type", "Etag", "Location", "Preference-Applied", "Deprecation", "Link", "Retry-After", "X-Content-Type-Options"}

// attempt runs the handler, once for each key of a caller.
func (a *API) attempt(c *call) error {
	name := c.r.Header.Get("Idempotency-Key")
	if name == "" || c.r.Method != http.MethodPost || c.op.access == everybody || c.op.unkeyed {
		return c.op.handle(c)
	}
	if len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return status.Invalid("api.key", "Idempotency-Key", []status.Fault{{Field: "Idempotency-Key", Got: strconv.Quote(brief(name)), Want: "at most 255 printable characters of ASCII"}})
	}
	sum := sha256.Sum256([]byte(c.caller.Subject + "\x00" + c.r.Method + "\x00" + c.r.URL.RequestURI() + "\x00" + name))
	at, err := a.answers.begin(c.ctx(), hex.EncodeToString(sum[:]), c.caller.Subject)
	if err != nil {
		return err
	}
	c.attempt = at
	var answer []byte
	c.w.copy, c.w.whole = &answer, true
	keep := false
	defer func() {
		if at.earlier != nil {
			return
		}
		var k *kept
		if keep {
			k = &kept{Subject: c.caller.Subject, Body: at.body[:], Code: c.w.code, Header: http.Header{}, Answer: answer, At: a.now()}
			for _, h := range replayed {
				if v := c.w.Header().Values(h); len(v) > 0 {
					k.Header[h] = v
				}
			}
		}
		a.answers.end(context.WithoutCancel(c.ctx()), at.key, k)
	}()
	err = c.op.handle(c)
	if errors.Is(err, errReplay) {
		return at.earlier.replay(c.w)
	}
	if err != nil {
		a.refuse(c.w, c.r, err)
	}
	// Neither what may pass on a second try, nor what is too long to keep.
	keep = at.settled && c.w.whole && c.w.code != 0 && c.w.code != http.StatusTooManyRequests && (c.w.code < 500 || c.w.code == http.StatusBadGateway)
	return nil
}

// settle tells the attempt what was sent. The error replays the earlier answer,
// or says that it was given for another body.
func (c *call) settle(body [sha256.Size]byte) error {
	at := c.attempt
	if at == nil {
		return nil
	}
	at.settled, at.body = true, body
	if at.earlier == nil {
		return nil
	}
	if !bytes.Equal(at.earlier.Body, body[:]) {
		return status.New(status.InvalidArgument, "api.key_reused", "this Idempotency-Key was used with another body").WithHint("use a new key for a new request")
	}
	return errReplay
}

// requestID makes a repeat of the call harmless behind this API too, where its
// answer was lost.
func (at *attempt) requestID() (id [16]byte) {
	sum := sha256.Sum256(append([]byte(at.key), at.body[:]...))
	return [16]byte(sum[:16])
}

func (k *kept) replay(w *writer) error {
	for name, v := range k.Header {
		w.Header()[name] = v
	}
	w.Header().Set("Idempotent-Replayed", "true")
	body := k.Answer
	if k.Header.Get("Content-Type") == problem.ContentType {
		body = renamed(body, w.Header().Get(problem.RequestIDHeader))
	}
	w.WriteHeader(k.Code)
	_, _ = w.Write(body)
	return nil
}

// renamed is a kept problem about this request.
func renamed(body []byte, id string) []byte {
	var doc map[string]any
	if json.Unmarshal(body, &doc) != nil {
		return body
	}
	doc["instance"], doc["request_id"] = id, id
	b, err := json.Marshal(doc)
	if err != nil {
		return body
	}
	return append(b, '\n')
}
