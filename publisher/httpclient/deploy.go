package httpclient

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"sync"
	"time"

	"apocryph/proto/status"
)

// maxAnswer bounds an answer that is read into memory, in bytes.
const maxAnswer = 4 << 20

// Request asks for one deploy.
type Request struct {
	// Manifest is the JSON of package manifest/direct.
	Manifest []byte
	Files    []File
}

// Deploy deploys, and returns when the app answers. Events come one at a time.
// An error is that of a status: what was refused, why the app did not come up,
// with its last lines, or unavailable where the connection cannot be had. The
// deployment is also returned with an error, once it has a name: the provider
// goes on with it.
func (c *Client) Deploy(ctx context.Context, req Request, report func(Event)) (*Deployment, error) {
	var mu sync.Mutex // the upload may still be told of while the answer is read
	serial := func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		report(e)
	}
	return c.submit(ctx, serial, func(key string) (*http.Response, func() error, error) {
		return c.post(ctx, req, "/deploy", wantEvents, key, serial)
	})
}

// wantEvents asks for a deployment's events, or for the deployment.
const wantEvents = "text/event-stream, application/json;q=0.5"

// submit sends what makes a deployment, and follows it to its end.
func (c *Client) submit(ctx context.Context, report func(Event), send sender) (*Deployment, error) {
	f := &follower{c: c, report: report}
	if err := f.submit(ctx, send); err != nil {
		return f.deployment(), err
	}
	if err := f.follow(ctx); err != nil {
		return f.deployment(), err
	}
	return f.result, f.result.err()
}

// Plan asks what a deploy would change. Nothing is changed.
func (c *Client) Plan(ctx context.Context, req Request, report func(Event)) (*Plan, error) {
	resp, end, err := c.post(ctx, req, "/deploy?dry_run=true", "application/json", "", report)
	if err != nil {
		return nil, err
	}
	defer func() { _ = end() }() // the answer is there: what became of the body does not matter
	defer drain(resp)
	if err := c.refusal(resp); err != nil {
		return nil, err
	}
	var p Plan
	return &p, c.decode(resp, &p)
}

// post sends the form. End releases the body, when the answer was read.
func (c *Client) post(ctx context.Context, req Request, to, accept, key string, report func(Event)) (resp *http.Response, end func() error, err error) {
	b := req.body(ctx, report)
	h := http.Header{"Content-Type": {b.contentType}, "Accept": {accept}, "Expect": {"100-continue"}}
	if key != "" {
		h.Set("Idempotency-Key", key)
	}
	resp, err = c.do(ctx, http.MethodPost, to, h, b)
	if err != nil {
		// A body that could not be made is why the request failed, not the other way round.
		if own := b.end(); own != nil && ctx.Err() == nil {
			return nil, nil, own
		}
		return nil, nil, err
	}
	return resp, b.end, nil
}

// sender sends one request under a key. Its end releases the request's body, when
// the answer was read.
type sender func(key string) (resp *http.Response, end func() error, err error)

// submit sends the request until the deployment has a name.
func (f *follower) submit(ctx context.Context, send sender) error {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails, see crypto/rand
	key := hex.EncodeToString(id[:])
	pause := f.c.pause
	for try := 1; ; try++ {
		err := f.once(ctx, send, key)
		again := status.ReasonOf(err) == reasonLost || try > 1 && status.ReasonOf(err) == "api.unreachable"
		wait := pause
		if status.ReasonOf(err) == "api.key_running" {
			// The call whose connection was lost is not over there either.
			again, wait = true, max(pause, min(retryAfter(err), maxPause))
		}
		if err == nil || !again || try >= maxTries || f.id != "" {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

// once sends the request and reads the answer as far as it comes. No error with
// an id and no result: the stream is to be resumed.
func (f *follower) once(ctx context.Context, send sender, key string) error {
	resp, end, err := send(key)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // the answer is there: what became of the body does not matter
	defer resp.Body.Close()
	if err := f.c.refusal(resp); err != nil {
		return err
	}
	if id := path.Base(resp.Header.Get("Location")); idPattern.MatchString(id) {
		f.id = id
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == "text/event-stream" {
		return f.read(ctx, resp)
	}
	var d Deployment
	if err := f.c.decode(resp, &d); status.ReasonOf(err) == reasonLost && f.id != "" {
		return nil
	} else if err != nil {
		return err
	}
	return f.take(Event{Kind: "status", Deployment: &d})
}

// decode reads a JSON answer.
func (c *Client) decode(resp *http.Response, v any) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return status.Wrap(err, status.Unavailable, reasonLost, "the connection to %s was lost", c.name)
	case len(b) > maxAnswer:
		return status.New(status.Unavailable, "api.answer", "%s answers with more than %d bytes", c.name, maxAnswer)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return status.Wrap(err, status.Unavailable, "api.answer", "%s does not answer as a provider does", c.name).
			WithHint("is it the address of a provider's API?")
	}
	return nil
}

func retryAfter(err error) time.Duration {
	var e *status.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
