package httpapi_test

import (
	"strings"
	"testing"
)

// TestContentDigests: what a request says of its body, or of a part of it, is held
// against what came, in each form; nothing is deployed from what differs.
func TestContentDigests(t *testing.T) {
	w := newWorld(t)
	signed := func(p part, digest string) part {
		p.header = strings.TrimSuffix(p.header, "\r\n") + "\r\nContent-Digest: " + digest + "\r\n"
		return p
	}
	manifest, page := asValue("manifest", site), asFile("files", "index.html", "<p>hi")
	whole := form(manifest, page)
	parts := form(signed(manifest, digestOf(site)), signed(page, digestOf("<p>hi")))
	old := `{"name":"web","runtime":"image","image":"registry.example/web:1"}`
	w.call("POST", "/deploy", whole, formType, "Content-Digest: "+digestOf(whole)).want(t, 201)
	w.call("POST", "/deploy", whole+"\r\nafter the form", formType, "Repr-Digest: "+digestOf(whole+"\r\nafter the form")).want(t, 201)
	w.call("POST", "/deploy", parts, formType, "Idempotency-Key: digests").want(t, 201)
	w.call("POST", "/deploy", parts, formType).want(t, 201)
	w.call("POST", "/deploy", old, jsonType, "Content-Digest: "+digestOf(old)).want(t, 201)
	w.call("POST", "/api/v1/apps", `{"name":"a"}`, jsonType, "Content-Digest: "+digestOf(`{"name":"a"}`)).want(t, 201)

	before := w.deploys.last()
	for name, c := range map[string]struct{ path, body, media, digest string }{
		"the form":            {"/deploy", whole, formType, digestOf("other")},
		"what is after it":    {"/deploy", whole + "more", formType, digestOf(whole)},
		"the files":           {"/deploy", form(manifest, signed(page, digestOf("other"))), formType, ""},
		"the manifest":        {"/deploy", form(signed(manifest, digestOf("other")), page), formType, ""},
		"no digest":           {"/deploy", form(manifest, signed(page, "md5=:AAAA:")), formType, ""},
		"the old form":        {"/deploy", old, jsonType, digestOf("other")},
		"an app":              {"/api/v1/apps", `{"name":"b"}`, jsonType, digestOf("other")},
		"a digest of 3 bytes": {"/api/v1/apps", `{"name":"b"}`, jsonType, "sha-256=:AAAA:"},
	} {
		headers := []string{c.media}
		if c.digest != "" {
			headers = append(headers, "Content-Digest: "+c.digest)
		}
		t.Run(name, func(t *testing.T) {
			w.call("POST", c.path, c.body, headers...).problem(t, 400, "artifact.digest", "sha-256")
			w.call("POST", c.path, c.body, append(headers, "Idempotency-Key: "+strings.ReplaceAll(name, " ", "-"))...).problem(t, 400, "artifact.digest")
		})
	}
	if after := w.deploys.last(); after.RequestID != before.RequestID {
		t.Error("what differs was deployed")
	}
	w.call("GET", "/api/v1/apps/default/b", "").want(t, 404)
	w.call("POST", "/deploy", whole, formType, "Idempotency-Key: \xc3\xa9").problem(t, 400, "api.key", "printable")
	w.call("POST", "/api/v1/uploads", "", tusOne).problem(t, 400, "upload.length", "nothing")
}
