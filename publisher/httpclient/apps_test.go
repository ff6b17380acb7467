package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

const appID = "0ab7d7a4-1d7b-4a2b-93d4-3e6f3e6d8a11"

// TestAppCalls: what the commands for apps ask, and what they make of answers that
// no provider gives.
func TestAppCalls(t *testing.T) {
	a := play(t)
	byName := func(c *Client) error { _, err := c.AppByName(t.Context(), "team", "shop"); return err }
	list := func(c *Client) error { _, err := c.Deployments(t.Context(), appID); return err }
	remove := func(c *Client) error { return c.DeleteApp(t.Context(), appID) }
	logs := func(c *Client) error {
		return c.Logs(t.Context(), deploymentID, LogQuery{}, func(LogLine) error { return nil })
	}
	back := func(c *Client) error { _, err := c.Rollback(t.Context(), deploymentID, func(Event) {}); return err }
	const ndjson = "application/x-ndjson"
	for name, tt := range map[string]struct {
		do   func(*Client) error
		with http.HandlerFunc
		want string
		code status.Code
	}{
		"an app":                 {byName, answer(200, "application/json", `{"id":"`+appID+`"}`), "GET /api/v1/apps/team/shop", status.OK},
		"no app":                 {byName, problemOf(404, "not_found", "app.unknown"), "GET /api/v1/apps/team/shop", status.NotFound},
		"an app's id is a path":  {byName, answer(200, "application/json", `{"id":"../tokens"}`), "GET /api/v1/apps/team/shop", status.Unavailable},
		"no JSON":                {byName, answer(200, "text/html", "<html>"), "GET /api/v1/apps/team/shop", status.Unavailable},
		"deployments":            {list, answer(200, "application/json", `{"data":[{"id":"d1"}]}`), "GET /api/v1/apps/" + appID + "/deployments?page_size=100", status.OK},
		"a deployment is a path": {list, answer(200, "application/json", `{"data":[{"id":"d1"},{"id":"a/b"}]}`), "GET /api/v1/apps/" + appID + "/deployments?page_size=100", status.Unavailable},
		"too long a list":        {list, answer(200, "application/json", strings.Repeat(" ", maxAnswer+1)), "GET /api/v1/apps/" + appID + "/deployments?page_size=100", status.Unavailable},
		"not allowed":            {list, problemOf(403, "permission_denied", "auth.scope"), "GET /api/v1/apps/" + appID + "/deployments?page_size=100", status.PermissionDenied},
		"deleted":                {remove, answer(204, "", ""), "DELETE /api/v1/apps/" + appID, status.OK},
		"deleted before":         {remove, problemOf(404, "not_found", "app.unknown"), "DELETE /api/v1/apps/" + appID, status.NotFound},
		"a delete sent away":     {remove, answer(307, "text/plain", "", "Location", "/"), "DELETE /api/v1/apps/" + appID, status.Unavailable},
		"no log":                 {logs, problemOf(404, "not_found", "deployment.unknown"), "GET /api/v1/deployments/" + deploymentID + "/logs?", status.NotFound},
		"a log for people":       {logs, answer(200, "text/html", "<html>"), "GET /api/v1/deployments/" + deploymentID + "/logs?", status.Unavailable},
		"a line is none":         {logs, answer(200, ndjson, "{}\nx\n"), "GET /api/v1/deployments/" + deploymentID + "/logs?", status.Unavailable},
		"an endless line":        {logs, answer(200, ndjson, strings.Repeat("x", maxEvent+1)), "GET /api/v1/deployments/" + deploymentID + "/logs?", status.Unavailable},
		"brought back":           {back, a.events(1, statusEvent("succeeded")), "POST /api/v1/deployments/" + deploymentID + "/rollback", status.OK},
		"not brought back":       {back, a.events(1, statusEvent("failed")), "POST /api/v1/deployments/" + deploymentID + "/rollback", status.Unavailable},
		"never ran":              {back, problemOf(409, "conflict", "deployment.not_up"), "POST /api/v1/deployments/" + deploymentID + "/rollback", status.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			h := func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					// The answers of this file's tests read a form.
					r = r.Clone(r.Context())
					r.Method = http.MethodGet
				}
				tt.with(w, r)
			}
			a.reset(t, []http.HandlerFunc{h})
			if err := tt.do(a.client(t)); status.CodeOf(err) != tt.code {
				t.Errorf("got %v, want %s", err, tt.code)
			}
			if c := a.seen()[0]; c.method+" "+c.path != tt.want || c.auth != "Bearer apo_secret" || (c.key != "") != (c.method == http.MethodPost) {
				t.Errorf("asked by %+v, want %s", c, tt.want)
			}
		})
	}
	// What was read from a file goes into no path.
	a.reset(t, nil)
	for _, id := range []string{"", "..", "a/b", "a?b", strings.Repeat("a", 65)} {
		_, listErr := a.client(t).Deployments(t.Context(), id)
		_, backErr := a.client(t).Rollback(t.Context(), id, func(Event) {})
		for _, err := range []error{listErr, backErr, a.client(t).DeleteApp(t.Context(), id), a.client(t).Logs(t.Context(), id, LogQuery{}, nil)} {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
}

// TestLogs: lines in their order, whatever the signs of life between them, until
// the reader has enough or is gone.
func TestLogs(t *testing.T) {
	a := play(t)
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"time":"2026-11-01T12:00:00Z","container":"web","stream":"stderr","text":"line %d"}`+"\n\n", i)
		}
		return b.String()
	}
	since := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	a.next = []http.HandlerFunc{answer(200, "application/x-ndjson", lines(2))}
	var got []LogLine
	err := a.client(t).Logs(t.Context(), deploymentID, LogQuery{Container: "a&b", Follow: true, Since: since, Tail: 7}, func(l LogLine) error {
		got = append(got, l)
		return nil
	})
	want := []LogLine{{since, "web", "stderr", "line 0"}, {since, "web", "stderr", "line 1"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if p := a.seen()[0].path; p != "/api/v1/deployments/"+deploymentID+"/logs?container=a%26b&follow=true&since=2026-11-01T12%3A00%3A00Z&tail=7" {
		t.Errorf("asked %s", p)
	}

	enough := errors.New("enough")
	a.reset(t, []http.HandlerFunc{answer(200, "application/x-ndjson", lines(3))})
	if err := a.client(t).Logs(t.Context(), deploymentID, LogQuery{}, func(LogLine) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}

	hang := func(w http.ResponseWriter, r *http.Request) {
		answer(200, "application/x-ndjson", lines(1))(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	a.reset(t, []http.HandlerFunc{hang})
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := a.client(t).Logs(ctx, deploymentID, LogQuery{Follow: true}, func(LogLine) error { cancel(enough); return nil }); !errors.Is(err, enough) {
		t.Errorf("given up: %v", err)
	}
	a.reset(t, []http.HandlerFunc{hang})
	err = a.client(t, func(c *Config) { c.Idle = 20 * time.Millisecond }).Logs(t.Context(), deploymentID, LogQuery{Follow: true}, func(LogLine) error { return nil })
	if status.ReasonOf(err) != reasonLost {
		t.Errorf("silent: %v", err)
	}
}
