package httpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"apocryph/proto/status"
)

// LogQuery selects lines of a deployment's log.
type LogQuery struct {
	// Container is the only one that is read, all for "".
	Container string
	// Follow waits for more lines.
	Follow bool
	Since  time.Time
	// Tail is how many last lines to begin with, 0 for all.
	Tail uint32
}

// LogLine is one line that a container wrote.
type LogLine struct {
	Time      time.Time `json:"time"`
	Container string    `json:"container"`
	Stream    string    `json:"stream"`
	Text      string    `json:"text"`
}

// Logs calls line for each line that a deployment's revision wrote. It ends with
// the last one, or when ctx does; with Follow, a connection that breaks is
// unavailable, and so is one without signs of life.
func (c *Client) Logs(ctx context.Context, deployment string, q LogQuery, line func(LogLine) error) error {
	path, err := deploymentPath(deployment)
	if err != nil {
		return err
	}
	v := url.Values{}
	if q.Container != "" {
		v.Set("container", q.Container)
	}
	if q.Follow {
		v.Set("follow", "true")
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if q.Tail > 0 {
		v.Set("tail", strconv.FormatUint(uint64(q.Tail), 10))
	}
	resp, err := c.do(ctx, http.MethodGet, path+"/logs?"+v.Encode(), http.Header{"Accept": {"application/x-ndjson"}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := c.refusal(resp); err != nil {
		return err
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "application/x-ndjson" {
		return status.New(status.Unavailable, "api.answer", "%s does not answer as a provider does", c.name).
			WithHint("is it the address of a provider's API?")
	}
	timer := time.AfterFunc(c.idle, func() { _ = resp.Body.Close() })
	defer timer.Stop()
	return c.lines(ctx, newEventReader(alive{resp.Body, timer, c.idle}), line)
}

// lines reads one JSON object a line; an empty line is a sign of life.
func (c *Client) lines(ctx context.Context, r *eventReader, line func(LogLine) error) error {
	for {
		b, err := r.line(maxEvent)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLongEvent):
			return status.New(status.Unavailable, "api.answer", "%s sends a line of more than %d bytes", c.name, maxEvent)
		case err != nil:
			return status.Wrap(err, status.Unavailable, reasonLost, "the connection to %s was lost", c.name)
		case len(bytes.TrimSpace(b)) == 0:
			continue
		}
		var l LogLine
		if err := json.Unmarshal(b, &l); err != nil {
			return status.Wrap(err, status.Unavailable, "api.answer", "%s sends what is no line of a log", c.name)
		}
		if err := line(l); err != nil {
			return err
		}
	}
}
