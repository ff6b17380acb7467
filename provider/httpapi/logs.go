package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"apocryph/provider"
	"apocryph/provider/auth"
)

// maxTail is how many last lines a call may begin with.
const maxTail = 10_000

// logLine is one line of NDJSON and of an event.
type logLine struct {
	Time      time.Time `json:"time"`
	Container string    `json:"container"`
	Stream    string    `json:"stream"`
	Text      string    `json:"text"`
}

// logs streams what the deployment's revision wrote: as text, or as one JSON
// object for each line.
func (c *call) logs() error {
	d, err := c.theDeployment(auth.ActionRead)
	if err != nil {
		return err
	}
	q, err := c.logQuery()
	if err != nil {
		return err
	}
	leave, err := c.api.streams.enter(c.caller.Subject)
	if err != nil {
		return err
	}
	defer leave()
	media := accepts(c.r.Header, mediaText, mediaText, mediaNDJSON, mediaSSE)
	heartbeat := map[string]string{mediaSSE: ": waiting\n\n", mediaNDJSON: "\n"}[media]
	c.patient()
	begun := false
	begin := func() {
		if !begun {
			begun = true
			c.stream(media)
		}
	}
	if q.Follow {
		begin()
	}
	n := 0
	err = pump(c, heartbeat, func(ctx context.Context, fn func(provider.LogLine) error) error {
		return c.api.cfg.Deployments.Logs(ctx, d.Namespace, d.ID, q, fn)
	}, func(l provider.LogLine) error {
		begin()
		n++
		return c.writeLine(media, n, l)
	})
	if err != nil && !begun {
		return err
	}
	begin()
	if err != nil && c.ctx().Err() == nil {
		c.api.log.Debug("a log ended early", "deployment", d.ID, "err", err)
	}
	return nil
}

func (c *call) writeLine(media string, n int, l provider.LogLine) error {
	if media == mediaText {
		_, err := c.w.Write(append(bytes.ToValidUTF8(l.Text, []byte("\uFFFD")), '\n'))
		return err
	}
	b, err := json.Marshal(logLine{l.Time.UTC(), l.Container, l.Stream, strings.ToValidUTF8(string(l.Text), "\uFFFD")})
	if err != nil {
		return err
	}
	if media == mediaNDJSON {
		_, err = c.w.Write(append(b, '\n'))
		return err
	}
	_, err = fmt.Fprintf(c.w, "id: %d\nevent: log\ndata: %s\n\n", n, b)
	return err
}

func (c *call) logQuery() (q provider.LogQuery, err error) {
	v := c.r.URL.Query()
	switch f := v.Get("follow"); f {
	case "", "false", "0":
	case "true", "1":
		q.Follow = true
	default:
		return q, badQuery("follow", f, "true or false")
	}
	if t := v.Get("tail"); t != "" {
		n, err := strconv.ParseUint(t, 10, 31)
		if err != nil || n < 1 || n > maxTail {
			return q, badQuery("tail", t, "a number of lines from 1 to "+strconv.Itoa(maxTail))
		}
		q.Tail = int(n)
	}
	q.Container = v.Get("container")
	if s := v.Get("since"); s != "" {
		at, err := time.Parse(time.RFC3339, s)
		if d, durErr := time.ParseDuration(s); durErr == nil && d >= 0 {
			at, err = c.api.now().Add(-d), nil
		}
		if err != nil {
			return q, badQuery("since", s, "a time such as 2026-11-01T12:00:00Z, or how long ago, such as 10m")
		}
		q.Since = at
	}
	return q, nil
}
