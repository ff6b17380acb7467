package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// slugsAt is where a stream of several deployments is: the last event of each that the
// caller has. As the id of an event it is their numbers with dots between them, so that it
// says where to go on, in whichever order the deployments go on meanwhile.
type slugsAt []uint64

func (at slugsAt) String() string {
	var b strings.Builder
	for i, n := range at {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.FormatUint(n, 10))
	}
	return b.String()
}

// slugsAfter is where the caller wants to go on. Only the repeat of a request with a key is
// about the same deployments; another one would make them again.
func (c *call) slugsAfter(count int) (slugsAt, error) {
	at := make(slugsAt, count)
	text := c.r.Header.Get("Last-Event-ID")
	if text == "" {
		return at, nil
	}
	bad := func(want string) error {
		return status.Invalid("api.event_id", "Last-Event-ID", []status.Fault{{Field: "Last-Event-ID", Got: brief(text), Want: want}})
	}
	if c.attempt == nil {
		return nil, bad("none without the Idempotency-Key of the request whose stream it is of")
	}
	parts := strings.Split(text, ".")
	if len(parts) != count {
		return nil, bad(fmt.Sprintf("the id of an event, %d numbers with dots between them", count))
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 63)
		if err != nil {
			return nil, bad("the id of an event, numbers with dots between them")
		}
		at[i] = n
	}
	return at, nil
}

// stream tells what happens to each until the last has ended.
func (s *several) stream(media string) error {
	c := s.c
	if c.attempt != nil {
		// The repeat of a key streams again: the deployments are the same.
		c.attempt.settled = false
	}
	c.stream(media)
	err := pump(c, heartbeats[media], s.watch, func(e slugStep) error {
		s.after[e.Step-1] = e.at
		kind := "status"
		if e.Text != "" {
			kind = "log"
		}
		return c.writeEvent(media, s.after.String(), kind, e)
	})
	if err != nil {
		if c.ctx().Err() == nil {
			// Cut off, so that the caller comes back with Last-Event-ID.
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	_ = c.writeEvent(media, s.after.String(), "result", s.results("")) // the caller may be gone
	return nil
}

// failure is the problem of the first that failed, with the results of all; nil if none has.
func (s *several) failure() error {
	for i, d := range s.made {
		err := s.errs[i]
		if err == nil && !d.Status.Ended() {
			continue
		}
		if err == nil {
			if d.Status == deploy.Succeeded {
				continue
			}
			err = failure(d)
		}
		told := *status.Public(err)
		told.Detail = s.items[i].Slug.String() + ": " + told.Detail
		return &answerError{err: &told, code: statusOf(err), more: map[string]any{"results": s.results("").Results}}
	}
	return nil
}
