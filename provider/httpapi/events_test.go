package httpapi_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/provider"
	"apocryph/provider/deploy"
	"apocryph/provider/httpapi"
)

const wantEvents = "Accept: text/event-stream"

// ids are the ids and kinds of a stream.
func ids(body []byte) (out []string) {
	for _, block := range strings.Split(string(body), "\n\n") {
		id, rest, ok := strings.Cut(block, "\nevent: ")
		kind, _, _ := strings.Cut(rest, "\n")
		if ok && strings.HasPrefix(id, "id: ") {
			out = append(out, strings.TrimPrefix(id, "id: ")+" "+kind)
		}
	}
	return out
}

func TestI12EventsOfTheSamePost(t *testing.T) {
	w := newWorld(t)
	r := w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType, wantEvents).want(t, 200)
	if r.Header.Get("Content-Type") != "text/event-stream" || r.Header.Get("X-Accel-Buffering") != "no" || r.Header.Get("Location") == "" {
		t.Errorf("got %v", r.Header)
	}
	if diff := cmp.Diff([]string{"1 status", "2 result"}, ids(r.body)); diff != "" {
		t.Errorf("%s\n%s", diff, r.body)
	}
	at := r.Header.Get("Location") + "/events"
	again := w.call("GET", at, "", "Last-Event-ID: 1").want(t, 200)
	if diff := cmp.Diff([]string{"2 result"}, ids(again.body)); diff != "" {
		t.Error(diff)
	}
	if end := w.call("GET", at+"?last_event_id=2", "").want(t, 200); len(end.body) != 0 {
		t.Errorf("after the end: %s", end.body)
	}
	for _, bad := range []string{"x", "-1", "1.0", "18446744073709551616"} {
		w.call("GET", at, "", "Last-Event-ID: "+bad).problem(t, 400, "api.event_id", "Last-Event-ID")
	}
	lines := w.call("GET", at, "", "Accept: application/x-ndjson").want(t, 200)
	if n := strings.Count(string(lines.body), "\n"); n != 2 || lines.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("got %d lines, %v", n, lines.Header)
	}
	// What is refused before there is a deployment is a problem, not a stream.
	w.call("POST", "/deploy", form(asFile("files", "a", "a")), formType, wantEvents).problem(t, 400, "deploy.manifest_missing")
}

// TestI12GoneCaller: a caller who leaves ends neither the deployment nor leaves a
// watcher behind, and a stream that is silent shows signs of life.
func TestI12GoneCaller(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Limits.Heartbeat = time.Millisecond })
	w.deploys.gate = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	body := strings.NewReader(form(asValue("manifest", site), asFile("files", "a", "a")))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://provider/deploy", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", strings.TrimPrefix(formType, "Content-Type: "))
	req.Header.Set("Accept", "text/event-stream")
	resp, err := w.socket.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() == ": waiting" {
			break
		}
	}
	cancel()
	_ = resp.Body.Close()
	close(w.deploys.gate)
	d := w.call("GET", resp.Header.Get("Location")+"/wait?timeout=10", "").want(t, 200)
	if !strings.Contains(string(d.body), `"status":"succeeded"`) {
		t.Errorf("got %s", d.body)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Limits.Streams = 4 })
	w.deploys.gate = make(chan struct{})
	r := w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType, "Prefer: respond-async").want(t, 202)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://provider"+r.Header.Get("Location")+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.socket.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	// One of four is what one caller may have.
	w.call("GET", r.Header.Get("Location")+"/events", "").problem(t, 503, "api.busy")
	if got := w.call("GET", r.Header.Get("Location")+"/wait", "").problem(t, 503, "api.busy"); got["retry_after_s"] == nil {
		t.Errorf("got %v", got)
	}
	w.call("GET", "/health", "").want(t, 200)
	close(w.deploys.gate)
	_ = resp.Body.Close()
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	r := w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType).want(t, 201)
	at := r.Header.Get("Location") + "/logs"
	if empty := w.call("GET", at, "").want(t, 200); len(empty.body) != 0 {
		t.Errorf("got %s", empty.body)
	}
	w.deploys.lines = []provider.LogLine{{Container: "site", Time: epoch, Stream: "stdout", Text: []byte("one")}, {Container: "site", Time: epoch, Stream: "stderr", Text: []byte("t\xffo")}}
	if text := w.call("GET", at+"?tail=5&since=2026-11-01T00:00:00Z", "").want(t, 200); string(text.body) != "one\nt\uFFFDo\n" || text.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("got %q", text.body)
	}
	if q := w.deploys.query; q.Tail != 5 || q.Since.IsZero() || q.Follow {
		t.Errorf("asked %+v", q)
	}
	want := `{"time":"2026-11-01T12:00:00Z","container":"site","stream":"stdout","text":"one"}`
	if got := w.call("GET", at, "", "Accept: application/x-ndjson").want(t, 200); !strings.HasPrefix(string(got.body), want+"\n") {
		t.Errorf("got %s", got.body)
	}
	if got := w.call("GET", at, "", wantEvents).want(t, 200); !strings.HasPrefix(string(got.body), "id: 1\nevent: log\ndata: "+want+"\n\n") {
		t.Errorf("got %s", got.body)
	}
	for query, says := range map[string]string{"tail=0": "tail", "tail=10001": "tail", "follow=yes": "follow", "since=yesterday": "since"} {
		w.call("GET", at+"?"+query, "").problem(t, 400, "api.query", says)
	}
	// Follow goes on until the caller leaves.
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://provider"+at+"?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.socket.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "one" {
		t.Errorf("got %q", lines.Text())
	}
	cancel()
	_ = resp.Body.Close()
}

// TestFailureIsAResult: a stream tells of a failure by its last event.
func TestFailureIsAResult(t *testing.T) {
	w := newWorld(t)
	w.deploys.failure = &deploy.Failure{Code: "app.exited", Detail: "it exited", Log: []string{"boom"}}
	r := w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType, wantEvents).want(t, 200)
	if !strings.Contains(string(r.body), `"logs_tail":["boom"]`) || !strings.Contains(string(r.body), "event: result") {
		t.Errorf("got %s", r.body)
	}
}
