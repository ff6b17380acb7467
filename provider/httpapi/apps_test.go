package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"apocryph/provider/deploy"
)

func (w *world) app(name string) string {
	w.t.Helper()
	r := w.call("POST", "/api/v1/apps", `{"name":"`+name+`"}`, jsonType).want(w.t, 201)
	var a struct{ ID string }
	r.json(w.t, &a)
	return a.ID
}

type page struct {
	Data     []map[string]any
	Total    int
	Page     int
	PageSize int `json:"page_size"`
}

func TestApps(t *testing.T) {
	w := newWorld(t)
	r := w.call("POST", "/api/v1/apps", `{"name":"shop","namespace":"team-a","labels":{"a":"b"},"env":{"KEY":"CANARY"}}`, jsonType).want(t, 201)
	var a map[string]any
	r.json(t, &a)
	id, _ := a["id"].(string)
	if r.Header.Get("Location") != "/api/v1/apps/"+id || r.Header.Get("ETag") == "" || a["subdomain"] != "shop-team-a" || a["namespace"] != "team-a" {
		t.Errorf("got %v %s", r.Header, r.body)
	}
	if strings.Contains(string(r.body), "CANARY") {
		t.Error("an app's secret is shown")
	}
	w.call("POST", "/api/v1/apps", `{"name":"shop","namespace":"team-a"}`, jsonType).problem(t, 409, "app.exists")
	w.call("POST", "/api/v1/apps", `{}`, jsonType).problem(t, 400, "app.invalid", "/name")
	w.call("POST", "/api/v1/apps", `{"name":"x","colour":1}`, jsonType).problem(t, 400, "json.invalid", "colour")
	w.call("POST", "/api/v1/apps", `{"name":"x","namespace":"A B"}`, jsonType).problem(t, 400, "api.namespace", "namespace")
	w.call("POST", "/api/v1/apps", `{"name":`, jsonType).problem(t, 400, "json.malformed", "column")
	w.call("POST", "/api/v1/apps", `{"name":"x"}`, "Content-Type: text/plain").problem(t, 415, "api.media_type")

	for _, path := range []string{"/api/v1/apps/" + id, "/api/v1/apps/team-a/shop"} {
		got := w.call("GET", path, "").want(t, 200)
		if string(got.body) != string(r.body) || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %s", path, got.body)
		}
		w.call("GET", path, "", "If-None-Match: "+r.Header.Get("ETag")).want(t, 304)
	}
	w.call("GET", "/api/v1/apps/none", "").problem(t, 404, "app.unknown")
	w.call("GET", "/api/v1/apps/team-b/shop", "").problem(t, 404, "app.unknown")

	// An update: what is absent stays, what was changed since is not overwritten.
	tag := r.Header.Get("ETag")
	second := w.call("PUT", "/api/v1/apps/"+id, `{"description":"new"}`, jsonType, "If-Match: "+tag).want(t, 200)
	if !strings.Contains(string(second.body), `"description":"new"`) || !strings.Contains(string(second.body), `"a":"b"`) || second.Header.Get("ETag") == tag {
		t.Errorf("got %v %s", second.Header, second.body)
	}
	w.call("PUT", "/api/v1/apps/"+id, `{"description":"newer"}`, jsonType, "If-Match: "+tag).problem(t, 412, "api.precondition", "ETag")
	// The same document, as it was read, is no change that is refused.
	w.call("PUT", "/api/v1/apps/"+id, string(second.body), jsonType).want(t, 200)
	w.call("PUT", "/api/v1/apps/"+id, `{"name":"other"}`, jsonType).problem(t, 400, "app.invalid", "/name")
	w.call("DELETE", "/api/v1/apps/"+id, "", "If-Match: "+tag).problem(t, 412, "api.precondition")
	w.call("DELETE", "/api/v1/apps/"+id, "").want(t, 204)
	w.call("DELETE", "/api/v1/apps/"+id, "").problem(t, 404, "app.unknown")
}

func TestAppPages(t *testing.T) {
	w := newWorld(t)
	var empty page
	if w.call("GET", "/api/v1/apps", "").want(t, 200).json(t, &empty); empty.Data == nil || empty.Total != 0 {
		t.Errorf("got %+v", empty)
	}
	for i := range 25 {
		w.app(fmt.Sprintf("app-%02d", i))
	}
	var p page
	w.call("GET", "/api/v1/apps", "").want(t, 200).json(t, &p)
	if len(p.Data) != 20 || p.Total != 25 || p.Page != 1 || p.PageSize != 20 {
		t.Errorf("got %d of %+v", len(p.Data), p.Total)
	}
	w.call("GET", "/api/v1/apps?page=3&page_size=10&sort_by=name&sort_order=desc", "").want(t, 200).json(t, &p)
	if len(p.Data) != 5 || p.Data[4]["name"] != "app-00" || p.PageSize != 10 {
		t.Errorf("got %+v", p)
	}
	for query, says := range map[string]string{
		"page=0": "page", "page=x": "page", "page_size=101": "page_size", "page_size=-1": "page_size", "sort_by=env": "sort_by",
		"sort_order=up": "sort_order", "namespace=A": "namespace", "page=0&page_size=0": "page_size",
	} {
		if r := w.call("GET", "/api/v1/apps?"+query, ""); r.StatusCode != 400 || !strings.Contains(string(r.body), says) {
			t.Errorf("%s: got %d %s", query, r.StatusCode, r.body)
		}
	}
}

func TestDeployments(t *testing.T) {
	w := newWorld(t)
	w.deploys.gate = make(chan struct{})
	app := w.app("shop")
	w.call("POST", "/api/v1/apps/"+app+"/deployments", `{"image":"registry.example/a:1","process_type":"docker"}`, jsonType).want(t, 201)
	req := w.deploys.last()
	if req.Image != "registry.example/a:1" || req.Runtime != "" || req.App != "shop" || req.Namespace != "default" || req.Manifest.Name != "shop" {
		t.Errorf("got %+v", req)
	}
	var l page
	w.call("GET", "/api/v1/apps/"+app+"/deployments", "").want(t, 200).json(t, &l)
	if len(l.Data) != 1 || l.Data[0]["status"] != "pending" {
		t.Fatalf("got %+v", l)
	}
	at := "/api/v1/deployments/" + l.Data[0]["id"].(string)
	var d deploy.Deployment
	w.call("GET", at+"/wait?timeout=0", "").want(t, 200).json(t, &d)
	if d.Status != deploy.Pending {
		t.Errorf("got %+v", d)
	}
	w.call("GET", at+"/wait?timeout=301", "").problem(t, 400, "api.query", "timeout")
	close(w.deploys.gate)
	w.call("GET", at+"/wait?timeout=1m", "").want(t, 200).json(t, &d)
	if d.Status != deploy.Succeeded {
		t.Errorf("got %+v", d)
	}
	w.deploys.gate = nil
	w.call("POST", at+"/cancel", "").problem(t, 409, "deployment.ended")
	r := w.call("POST", at+"/promote", `{"environment":"staging"}`, jsonType).want(t, 201)
	if r.json(t, &d); d.Environment != "staging" || d.Promoted == "" || d.CreatedBy != "uid:0" {
		t.Errorf("got %+v", d)
	}
	w.call("POST", at+"/promote", "").want(t, 201).json(t, &d)
	if d.Environment != "production" {
		t.Errorf("promoted to %q", d.Environment)
	}
	w.call("POST", at+"/promote", `{"env":"x"}`, jsonType).problem(t, 400, "json.invalid", "env")
	w.call("POST", at+"/rollback", "", "Prefer: wait=10").want(t, 201)
	w.call("POST", at+"/rollback", `{"to":1}`, jsonType).problem(t, 400, "json.invalid", "to")
	for _, path := range []string{"", "/wait", "/events", "/logs"} {
		w.call("GET", "/api/v1/deployments/none"+path, "").problem(t, 404, "deployment.unknown")
	}

	w.deploys.gate = make(chan struct{})
	defer close(w.deploys.gate)
	r = w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType, "Prefer: respond-async").want(t, 202)
	w.call("POST", r.Header.Get("Location")+"/cancel", "").want(t, 200).json(t, &d)
	if d.Status != deploy.Cancelled {
		t.Errorf("got %+v", d)
	}
}
