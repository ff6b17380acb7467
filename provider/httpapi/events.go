package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// lastEventID is where an interrupted stream goes on: after this event.
func lastEventID(r *http.Request) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("last_event_id")
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, status.Invalid("api.event_id", "Last-Event-ID", []status.Fault{{Field: "Last-Event-ID", Got: brief(text), Want: "the id of an event, a number"}})
	}
	return n, nil
}

// stream begins an answer that has no end yet.
func (c *call) stream(media string) {
	c.patient()
	h := c.w.Header()
	if media == mediaText {
		media += "; charset=utf-8"
	}
	h.Set("Content-Type", media)
	h.Set("X-Content-Type-Options", "nosniff")
	// For nginx and those who took over its word: each line on its way at once.
	h.Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)
	c.w.flush()
}

// pump writes what produce gives, and a sign of life where it gives nothing for
// long. Errors after the first byte cannot be told any more by a status.
func pump[T any](c *call, heartbeat string, produce func(context.Context, func(T) error) error, write func(T) error) error {
	ctx, cancel := context.WithCancel(c.ctx())
	defer cancel()
	items := make(chan T)
	done := make(chan error, 1)
	go func() {
		done <- produce(ctx, func(v T) error {
			select {
			case items <- v:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	tick := time.NewTicker(c.api.limits.Heartbeat)
	defer tick.Stop()
	for {
		var err error
		select {
		case err := <-done:
			return err
		case v := <-items:
			err = write(v)
		case <-tick.C:
			if err := c.outlived(); err != nil {
				cancel()
				<-done
				return err
			}
			if heartbeat != "" && c.w.code != 0 {
				_, err = c.w.Write([]byte(heartbeat))
			}
		}
		if err != nil {
			cancel()
			<-done
			return nil // the caller is gone
		}
		c.w.flush()
	}
}

// outlived is why a caller who was let in is not any more: a stream has no end, and
// a token that was revoked, or is over, has. Where nobody can say, the stream goes on.
func (c *call) outlived() error {
	_, err := c.api.auth.Authenticate(c.ctx(), c.r)
	if status.CodeOf(err) == status.Unavailable || c.ctx().Err() != nil {
		return nil
	}
	return err
}

// follow streams a deployment's events, after the given one, until it has ended.
func (c *call) follow(d deploy.Deployment, after uint64, media string) error {
	leave, err := c.api.streams.enter(c.caller.Subject)
	if err != nil {
		return err
	}
	defer leave()
	c.stream(media)
	heartbeat := ": waiting\n\n"
	if media == mediaNDJSON {
		heartbeat = "\n"
	}
	err = pump(c, heartbeat, func(ctx context.Context, fn func(deploy.Event) error) error {
		return c.api.cfg.Deployments.Watch(ctx, d.Namespace, d.ID, after, fn)
	}, func(e deploy.Event) error {
		if e.Deployment != nil {
			shown := view(*e.Deployment)
			e.Deployment = &shown
		}
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if media == mediaNDJSON {
			_, err = c.w.Write(append(b, '\n'))
			return err
		}
		_, err = fmt.Fprintf(c.w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, b)
		return err
	})
	if err != nil && c.ctx().Err() == nil {
		c.api.log.Debug("an event stream ended early", "deployment", d.ID, "err", err)
		// Cut off, so that the caller comes back with Last-Event-ID.
		panic(http.ErrAbortHandler)
	}
	return nil
}
