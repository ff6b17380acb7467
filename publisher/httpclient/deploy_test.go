package httpclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func TestDeploy(t *testing.T) {
	a := play(t)
	a.next = []http.HandlerFunc{a.events(1, statusEvent("pending"), `"kind":"progress","text":"sealing","done":1,"total":2`, `"kind":"log","text":"a line"`, statusEvent("succeeded", succeeded))}
	o := deploy(t, a.client(t), sample())
	if o.err != nil {
		t.Fatal(o.err)
	}
	want := &Deployment{ID: deploymentID, App: "shop", Status: "succeeded", Revision: 3, URL: "http://shop.example/", Warnings: []string{"root"}}
	if diff := cmp.Diff(want, o.d); diff != "" {
		t.Error(diff)
	}
	if o.kinds != "upload status progress log result" {
		t.Errorf("events: %s", o.kinds)
	}
	c := a.seen()[0]
	if c.manifest != `{"name":"shop"}` || c.files != "image.tar=bytes" || c.auth != "Bearer apo_secret" || len(c.key) != 32 || c.path != "/deploy" {
		t.Errorf("sent %+v", c)
	}
}

// TestResumed: a stream that breaks goes on behind the last event, and nothing is
// told twice.
func TestResumed(t *testing.T) {
	a := play(t)
	a.next = []http.HandlerFunc{
		a.events(1, statusEvent("pending"), `"kind":"log","text":"one"`, "cut"),
		lose,
		problemOf(503, "unavailable", "api.busy"),
		a.events(2, `"kind":"log","text":"one"`, `"kind":"log","text":"two"`),
		a.events(4, statusEvent("succeeded")),
	}
	o := deploy(t, a.client(t), sample())
	if o.err != nil || o.kinds != "upload status log log result" {
		t.Errorf("%v, events: %s", o.err, o.kinds)
	}
	var last []string
	for _, c := range a.seen()[1:] {
		if c.path != "/api/v1/deployments/"+deploymentID+"/events" || c.auth == "" {
			t.Errorf("resumed by %+v", c)
		}
		last = append(last, c.last)
	}
	if diff := cmp.Diff([]string{"2", "2", "2", "3"}, last); diff != "" {
		t.Error(diff)
	}
}

// TestRepeated: a request whose answer is lost is sent once more, whole and by the
// same key.
func TestRepeated(t *testing.T) {
	a := play(t)
	a.next = []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) { a.received(r); lose(w, r) },
		problemOf(409, "conflict", "api.key_running"),
		answer(202, "application/json", `{"id":"`+deploymentID+`","status":"pending"}`, "Location", "/api/v1/deployments/"+deploymentID),
		a.events(1, statusEvent("succeeded")),
	}
	o := deploy(t, a.client(t), sample())
	if o.err != nil || len(a.seen()) != 4 {
		t.Fatalf("%v after %d calls", o.err, len(a.seen()))
	}
	if k := a.seen()[0].key; k == "" || k != a.seen()[1].key || k != a.seen()[2].key || a.seen()[3].key != "" {
		t.Errorf("keys: %+v", a.seen())
	}
}

// TestSilent: a stream without signs of life is broken.
func TestSilent(t *testing.T) {
	a := play(t)
	a.next = []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) {
			a.events(1, statusEvent("pending"))(w, r)
			<-r.Context().Done()
		},
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		a.events(2, statusEvent("succeeded")),
	}
	if o := deploy(t, a.client(t, func(c *Config) { c.Idle = 50 * time.Millisecond }), sample()); o.err != nil {
		t.Error(o.err)
	}
}

func TestFailures(t *testing.T) {
	failed := statusEvent("failed", `"error":{"code":"app.exited","detail":"the app exited","hint":"look","logs_tail":["panic: no database"],"class":13}`)
	always := func(h http.HandlerFunc) []http.HandlerFunc {
		all := make([]http.HandlerFunc, 1+maxTries)
		for i := range all {
			all[i] = h
		}
		return all
	}
	a := play(t)
	tests := map[string]struct {
		calls  []http.HandlerFunc
		code   status.Code
		reason string
		exit   int
	}{
		"the app does not come up": {[]http.HandlerFunc{a.events(1, failed)}, status.AppFailed, "app.exited", 19},
		"the same, as JSON":        {[]http.HandlerFunc{problemOf(502, "app_failed", "app.exited", `"log":["panic: no database"]`)}, status.AppFailed, "app.exited", 19},
		"cancelled":                {[]http.HandlerFunc{a.events(1, statusEvent("cancelled"))}, status.Conflict, "deployment.cancelled", 14},
		"failed without a word":    {[]http.HandlerFunc{a.events(1, statusEvent("failed"))}, status.Unavailable, "deployment.failed", 17},
		"a class that is none":     {[]http.HandlerFunc{a.events(1, statusEvent("failed", `"error":{"class":99}`))}, status.Unavailable, "", 17},
		"no token":                 {[]http.HandlerFunc{problemOf(401, "unauthenticated", "auth.token")}, status.Unauthenticated, "auth.token", 11},
		"not that namespace":       {[]http.HandlerFunc{problemOf(403, "permission_denied", "auth.scope")}, status.PermissionDenied, "auth.scope", 11},
		"a bad manifest":           {[]http.HandlerFunc{problemOf(400, "invalid_argument", "manifest.invalid", `"errors":[{"field":"/name","got":"x","want":"y"}]`)}, status.InvalidArgument, "manifest.invalid", 10},
		"too large":                {[]http.HandlerFunc{problemOf(413, "invalid_argument", "files.too_large")}, status.InvalidArgument, "files.too_large", 10},
		"no room":                  {[]http.HandlerFunc{problemOf(503, "resource_exhausted", "capacity.memory")}, status.ResourceExhausted, "capacity.memory", 15},
		"a redirect":               {[]http.HandlerFunc{answer(307, "text/plain", "", "Location", "http://127.0.0.1:1/deploy")}, status.Unavailable, "api.redirect", 17},
		"no API":                   {[]http.HandlerFunc{answer(200, "text/html", "<html>", "Location", "/x")}, status.Unavailable, "api.answer", 17},
		"no event":                 {[]http.HandlerFunc{answer(200, "text/event-stream", "data: x\n\n")}, status.Unavailable, "api.answer", 17},
		"an endless event":         {[]http.HandlerFunc{answer(200, "text/event-stream", "data: "+strings.Repeat("x", maxEvent))}, status.Unavailable, "api.answer", 17},
		"another deployment":       {[]http.HandlerFunc{answer(200, "text/event-stream", "data: {\"deployment\":{\"id\":\"other\"}}\n\n", "Location", "/"+deploymentID)}, status.Unavailable, "api.answer", 17},
		"an id that is a path":     {[]http.HandlerFunc{answer(202, "application/json", `{"id":"../../etc","status":"pending"}`)}, status.Unavailable, "api.answer", 17},
		"events that are gone":     {[]http.HandlerFunc{a.events(1, statusEvent("pending"), "cut"), problemOf(404, "not_found", "deployment.unknown")}, status.NotFound, "deployment.unknown", 13},
		"always lost":              {always(lose)[:maxTries], status.Unavailable, "api.lost", 17},
		"never a result":           {always(a.events(1, statusEvent("pending"))), status.Unavailable, "api.lost", 17},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a.reset(t, tt.calls)
			e := deploy(t, a.client(t), sample())
			err := e.refused(t, tt.code, tt.reason)
			if status.ExitCode(e.err) != tt.exit || len(a.seen()) != len(tt.calls) {
				t.Errorf("exit %d after %d calls, want %d after %d", status.ExitCode(e.err), len(a.seen()), tt.exit, len(tt.calls))
			}
			if strings.Contains(err.Error()+err.Hint, "apo_secret") {
				t.Errorf("the token is in %v", err)
			}
			if tt.exit == 19 && strings.Join(err.Log, "") != "panic: no database" {
				t.Errorf("log: %q", err.Log)
			}
		})
	}
}

// TestOwnFault: what cannot be read here is not the API's fault, and is not
// repeated.
func TestOwnFault(t *testing.T) {
	a := play(t)
	a.next = []http.HandlerFunc{func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }}
	req := sample()
	broken := status.New(status.InvalidArgument, "image.digest", "a layer is damaged")
	req.Files[0].Write = func(context.Context, io.Writer) error { return broken }
	deploy(t, a.client(t), req).refused(t, status.InvalidArgument, "image.digest")
}

func TestGivenUp(t *testing.T) {
	a := play(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	up := errors.New("the time is over")
	a.next = []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
		a.events(1, statusEvent("pending"))(w, r)
		<-r.Context().Done()
	}}
	d, err := a.client(t).Deploy(ctx, sample(), func(e Event) {
		if e.Kind == "status" {
			cancel(up)
		}
	})
	if !errors.Is(err, up) || d == nil || d.ID != deploymentID {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestPlan(t *testing.T) {
	a := play(t)
	a.next = []http.HandlerFunc{answer(200, "application/json", `{"app":"shop","operation":"update","changes":[{"field":"env.A","new":"set"}]}`)}
	p, err := a.client(t).Plan(t.Context(), sample(), func(Event) {})
	if err != nil || p.Operation != "update" || len(p.Changes) != 1 || a.seen()[0].path != "/deploy?dry_run=true" || a.seen()[0].key != "" {
		t.Errorf("got %+v, %v by %+v", p, err, a.seen())
	}
}
