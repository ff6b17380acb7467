package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCustomDomains(t *testing.T) {
	w := newWorld(t)
	at := w.call("POST", "/api/v1/apps", `{"name":"shop","namespace":"team-a"}`, jsonType).want(t, 201).Header.Get("Location") + "/custom-domains"
	other := w.call("POST", "/api/v1/apps", `{"name":"other","namespace":"team-b"}`, jsonType).want(t, 201).Header.Get("Location") + "/custom-domains"
	r := w.call("POST", at, `{"domain":"shop.example.org"}`, jsonType).want(t, 201)
	var got map[string]any
	if r.json(t, &got); got["domain"] != "shop.example.org" || got["environment"] != "production" || r.Header.Get("Location") != at+"/shop.example.org" {
		t.Errorf("got %v %s", r.Header, r.body)
	}
	w.call("POST", at, `{"domain":"dev.example.org","environment":"development","deployment_id":"x"}`, jsonType).want(t, 201)
	w.call("POST", other, `{"domain":"shop.example.org"}`, jsonType).problem(t, 409, "domain.taken", "shop.example.org")
	w.call("POST", at, `{"domain":5}`, jsonType).problem(t, 400, "json.invalid", "/domain")
	w.call("POST", at, `{"host":"x"}`, jsonType).problem(t, 400, "json.invalid", "/host")
	var l struct{ Data []map[string]any }
	w.call("GET", at, "").want(t, 200).json(t, &l)
	want := []map[string]any{
		{"domain": "shop.example.org", "environment": "production", "created_at": "2026-11-01T12:00:00Z"},
		{"domain": "dev.example.org", "environment": "development", "deployment_id": "x", "created_at": "2026-11-01T12:00:00Z"},
	}
	if d := cmp.Diff(want, l.Data); d != "" {
		t.Error(d)
	}
	// Another namespace's caller sees nothing of it; one who reads changes nothing.
	reader, stranger := w.token("read:team-a"), w.token("deploy:team-b")
	w.as(w.tcp, "GET", at, nil, reader).want(t, 200)
	w.as(w.tcp, "GET", at, nil, stranger).problem(t, 404, "app.unknown")
	w.as(w.tcp, "POST", at, strings.NewReader(`{"domain":"x.example.org"}`), jsonType, stranger).problem(t, 404, "app.unknown")
	w.as(w.tcp, "DELETE", at+"/shop.example.org", nil, stranger).problem(t, 404, "app.unknown")
	w.as(w.tcp, "POST", at, strings.NewReader(`{"domain":"x.example.org"}`), jsonType, reader).problem(t, 403, "auth.scope")
	w.as(w.tcp, "DELETE", at+"/shop.example.org", nil, reader).problem(t, 403, "auth.scope")
	w.call("DELETE", other+"/shop.example.org", "").problem(t, 404, "domain.unknown")
	w.call("DELETE", at+"/shop.example.org", "").want(t, 204)
	w.call("DELETE", at+"/shop.example.org", "").problem(t, 404, "domain.unknown")
	w.call("POST", other, `{"domain":"shop.example.org"}`, jsonType).want(t, 201)
}

// TestLabels: a deploy's labels are shown with it, and lists are narrowed by them.
func TestLabels(t *testing.T) {
	w := newWorld(t)
	r := w.call("POST", "/deploy", `{"name":"web","runtime":"image","image":"registry.example/web:1","labels":{"team":"blue","git/branch":"main"}}`, jsonType).want(t, 201)
	if got := w.deploys.last().Labels; len(got) != 2 || got["team"] != "blue" {
		t.Errorf("got %v", got)
	}
	var d struct {
		Labels map[string]string
	}
	if r.json(t, &d); d.Labels["git/branch"] != "main" {
		t.Errorf("got %s", r.body)
	}
	w.call("POST", "/api/v1/apps", `{"name":"web","labels":{"team":"blue"}}`, jsonType).want(t, 201)
	for query, code := range map[string]int{"label=team%3Dblue": 200, "label=a%3D&label=b%3D1": 200, "label=team": 400, "label=%3Dblue": 400, strings.Repeat("label=a%3D&", 9): 400} {
		if r := w.call("GET", "/api/v1/apps?"+query, "").want(t, code); code == 400 && !json.Valid(r.body) {
			t.Errorf("%s: %s", query, r.body)
		}
	}
	var l page
	if w.call("GET", "/api/v1/apps?label=team%3Dred", "").json(t, &l); len(l.Data) != 0 {
		t.Errorf("got %v", l.Data)
	}
}
