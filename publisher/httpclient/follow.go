package httpclient

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"apocryph/proto/status"
)

// follower reads the events of one deployment, over as many connections as it
// takes.
type follower struct {
	c      *Client
	report func(Event)
	// id is empty until the deployment has a name; last is the last event's number.
	id     string
	last   uint64
	latest *Deployment
	result *Deployment
}

// deployment is what is known of it, nil while it has no name.
func (f *follower) deployment() *Deployment {
	if f.latest == nil && f.id != "" {
		return &Deployment{ID: f.id}
	}
	return f.latest
}

// take is one event. An event that was read before a stream broke is not told
// again.
func (f *follower) take(e Event) error {
	if e.Seq > 0 {
		if e.Seq <= f.last {
			return nil
		}
		f.last = e.Seq
	}
	if d := e.Deployment; d != nil {
		if !idPattern.MatchString(d.ID) || f.id != "" && d.ID != f.id {
			return status.New(status.Unavailable, "api.answer", "%s tells of another deployment than the one that was asked for", f.c.name)
		}
		f.id, f.latest = d.ID, d
		if d.ended() {
			f.result = d
		}
	}
	f.report(e)
	return nil
}

// follow reads until the deployment has ended, and resumes a stream that breaks.
func (f *follower) follow(ctx context.Context) error {
	if f.id == "" {
		return status.New(status.Unavailable, "api.answer", "%s does not say which deployment it made", f.c.name)
	}
	pause, tries := f.c.pause, 0
	var err error
	for f.result == nil {
		if tries++; tries > maxTries {
			if err == nil {
				err = status.New(status.Unavailable, reasonLost, "%s ends the events of the deployment without a result", f.c.name)
			}
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
		last := f.last
		err = f.resume(ctx)
		if err != nil && !passing(err) {
			return err
		}
		if f.last > last {
			pause, tries = f.c.pause, 0
		}
	}
	return nil
}

// passing reports whether another try may succeed: connections break, and a
// provider that starts again is not there for a while.
func passing(err error) bool {
	switch status.ReasonOf(err) {
	case "api.answer", "api.redirect":
		return false
	}
	return status.CodeOf(err) == status.Unavailable || status.CodeOf(err) == status.DeadlineExceeded && !errors.Is(err, context.DeadlineExceeded)
}

func (f *follower) resume(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := http.Header{"Accept": {"text/event-stream"}}
	if f.last > 0 {
		h["Last-Event-ID"] = []string{strconv.FormatUint(f.last, 10)}
	}
	// The header has to come in the time that a stream may be silent.
	timer := time.AfterFunc(f.c.idle, func() { cancel(f.c.silent()) })
	resp, err := f.c.do(ctx, http.MethodGet, "/api/v1/deployments/"+f.id+"/events", h, nil)
	timer.Stop()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := f.c.refusal(resp); err != nil {
		return err
	}
	return f.read(ctx, resp)
}

func (c *Client) silent() error {
	return status.New(status.Unavailable, reasonLost, "%s was silent for %s", c.name, c.idle)
}

// read takes the events of one stream. Its end without a result, or a break, is
// no error: the stream is resumed.
func (f *follower) read(ctx context.Context, resp *http.Response) error {
	// Closing the body is what ends a read that waits.
	timer := time.AfterFunc(f.c.idle, func() { _ = resp.Body.Close() })
	defer timer.Stop()
	lines := newEventReader(alive{resp.Body, timer, f.c.idle})
	for f.result == nil {
		data, err := lines.next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errLongEvent):
			return status.New(status.Unavailable, "api.answer", "%s sends an event of more than %d bytes", f.c.name, maxEvent)
		case err != nil:
			if f.id == "" {
				return status.Wrap(err, status.Unavailable, reasonLost, "the connection to %s was lost", f.c.name)
			}
			return nil
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return status.Wrap(err, status.Unavailable, "api.answer", "%s sends what is no event of a deployment", f.c.name)
		}
		if err := f.take(e); err != nil {
			return err
		}
	}
	return nil
}

// alive puts off the end of a stream with each read.
type alive struct {
	r     io.Reader
	timer *time.Timer
	idle  time.Duration
}

func (a alive) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if n > 0 {
		a.timer.Reset(a.idle)
	}
	return n, err
}
