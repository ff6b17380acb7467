package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"apocryph/provider/httpapi"
)

const (
	octets     = "Content-Type: application/octet-stream"
	myApp      = `{"name":"my-app-v1.0","content_type":"application/octet-stream"}`
	tusOne     = "Tus-Resumable: 1.0.0"
	tusContent = "Content-Type: application/offset+octet-stream"
)

func (w *world) artifact() string {
	w.t.Helper()
	var a struct{ ID string }
	w.call("POST", "/api/v1/artifacts", myApp, jsonType).want(w.t, 201).json(w.t, &a)
	return a.ID
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func TestZ1CreateArtifact(t *testing.T) {
	w := newWorld(t)
	id := w.artifact()
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		t.Errorf("%q is no UUID", id)
	}
	w.call("POST", "/api/v1/artifacts", `{"content_type":"application/octet-stream"}`, jsonType).problem(t, 400, "artifact.invalid", "name")
	w.call("POST", "/api/v1/artifacts", `{"name":"x","size":1}`, jsonType).problem(t, 400, "json.invalid", "size")
	w.call("POST", "/api/v1/artifacts", myApp, "Content-Type: application/x-www-form-urlencoded").problem(t, 415, "api.media_type", "application/json")
}

func TestZ2UploadArtifact(t *testing.T) {
	w := newWorld(t)
	id := w.artifact()
	at := "/api/v1/artifacts/" + id
	w.call("GET", at+"/download", "").problem(t, 409, "artifact.not_uploaded")
	w.call("POST", at+"/upload", "bytes", "Content-Type: application/x-www-form-urlencoded").problem(t, 415, "api.media_type", "octet-stream")
	w.call("POST", at+"/upload", "bytes", octets, "Content-Encoding: gzip").problem(t, 415, "upload.media_type", "Content-Encoding")
	w.call("POST", at+"/upload", "bytes", octets, "Content-Digest: "+digestOf("other")).problem(t, 400, "artifact.digest")
	w.call("POST", at+"/upload", "bytes", octets, "Content-Digest: md5=:AAAA:").problem(t, 400, "artifact.digest", "sha-256")
	w.call("POST", at+"/upload", "bytes", octets, "Repr-Digest: sha-256=AAAA").problem(t, 400, "artifact.digest", "Repr-Digest")
	first := w.call("POST", at+"/upload", "bytes", octets, "Content-Digest: "+digestOf("bytes")+", unixsum=:AAA=:").want(t, 200)
	again := w.call("POST", at+"/upload", "bytes", octets).want(t, 200)
	if !bytes.Equal(first.body, again.body) {
		t.Errorf("%s is not %s", again.body, first.body)
	}
	w.call("PUT", at+"/upload", "bytes", octets).want(t, 200)
	w.call("PUT", at+"/upload", "bytes").want(t, 200) // as curl -T sends it
	w.call("POST", at+"/upload", "others", octets).problem(t, 409, "artifact.differs")
	w.call("POST", "/api/v1/artifacts/"+uuid.NewString()+"/upload", "bytes", octets).problem(t, 404, "artifact.unknown")
	// Too large for the store.
	big := w.artifact()
	w.call("POST", "/api/v1/artifacts/"+big+"/upload", strings.Repeat("x", 8<<20+1), octets).problem(t, 413, "artifact.too_large")
}

func TestZ3DownloadArtifact(t *testing.T) {
	w := newWorld(t)
	at := "/api/v1/artifacts/" + w.artifact()
	content := strings.Repeat("0123456789", 20_000)
	w.call("POST", at+"/upload", content, octets).want(t, 200)
	r := w.call("GET", at+"/download", "").want(t, 200)
	sum := sha256.Sum256([]byte(content))
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	if string(r.body) != content || r.Header.Get("ETag") != tag || r.Header.Get("Repr-Digest") != digestOf(content) || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d bytes, %v", len(r.body), r.Header)
	}
	if d := r.Header.Get("Content-Disposition"); d != `attachment; filename=my-app-v1.0` {
		t.Errorf("got %s", d)
	}
	part := w.call("GET", at+"/download", "", "Range: bytes=100005-100009").want(t, 206)
	if string(part.body) != "56789" || part.Header.Get("Content-Range") != fmt.Sprintf("bytes 100005-100009/%d", len(content)) {
		t.Errorf("got %s, %v", part.body, part.Header)
	}
	w.call("GET", at+"/download", "", "If-None-Match: "+tag).want(t, 304)
	w.call("GET", at+"/download", "", "Range: bytes=1-2", `If-Range: "other"`).want(t, 200)
	w.call("GET", at+"/download", "", "Range: bytes=300000-").problem(t, 416, "artifact.range", "Range")
	if head := w.call("HEAD", at+"/download", "").want(t, 200); len(head.body) != 0 || head.ContentLength != int64(len(content)) {
		t.Errorf("got %v", head.Header)
	}
}

func TestZ4ArtifactMetadata(t *testing.T) {
	w := newWorld(t)
	at := "/api/v1/artifacts/" + w.artifact()
	var a struct {
		Name        string
		ContentType string `json:"content_type"`
		Size        int64
		SHA256      string
		Complete    bool
	}
	if w.call("GET", at, "").want(t, 200).json(t, &a); a.Size != 0 || a.SHA256 != "" || a.Complete {
		t.Errorf("got %+v", a)
	}
	w.call("POST", at+"/upload", "bytes", octets).want(t, 200)
	sum := sha256.Sum256([]byte("bytes"))
	w.call("GET", at, "").want(t, 200).json(t, &a)
	if a.Name != "my-app-v1.0" || a.ContentType != "application/octet-stream" || a.Size != 5 || a.SHA256 != hex.EncodeToString(sum[:]) || !a.Complete {
		t.Errorf("got %+v", a)
	}
	w.call("GET", "/api/v1/artifacts/none", "").problem(t, 404, "artifact.unknown")
	w.call("DELETE", at, "").want(t, 204)
	w.call("GET", at, "").problem(t, 404, "artifact.unknown")
}

func TestZ5ListArtifacts(t *testing.T) {
	w := newWorld(t)
	var p page
	if w.call("GET", "/api/v1/artifacts", "").want(t, 200).json(t, &p); p.Data == nil || len(p.Data) != 0 {
		t.Errorf("got %+v", p)
	}
	for range 25 {
		w.artifact()
	}
	w.call("GET", "/api/v1/artifacts", "").want(t, 200).json(t, &p)
	if len(p.Data) != 25 || p.Total != 25 || p.PageSize != 25 {
		t.Errorf("got %d of %d", len(p.Data), p.Total)
	}
	w.call("GET", "/api/v1/artifacts?page=2&page_size=20", "").want(t, 200).json(t, &p)
	if len(p.Data) != 5 || p.Total != 25 || p.Page != 2 {
		t.Errorf("got %d of %d", len(p.Data), p.Total)
	}
	w.call("GET", "/api/v1/artifacts?page=3&page_size=20", "").want(t, 200).json(t, &p)
	if len(p.Data) != 0 {
		t.Errorf("got %+v", p)
	}
}

func TestZ6DeployArtifact(t *testing.T) {
	w := newWorld(t)
	app, artifact := w.app("shop"), w.artifact()
	w.deploys.gate = make(chan struct{})
	defer close(w.deploys.gate)
	body := fmt.Sprintf(`{"artifact_id":%q,"process_type":"tish","replicas":1}`, artifact)
	var d struct {
		ID         string
		Status     string
		PreviewURL string `json:"preview_url"`
	}
	// At once, though the deployment has not ended.
	w.call("POST", "/api/v1/apps/"+app+"/deployments", body, jsonType).want(t, 201).json(t, &d)
	if d.ID == "" || d.PreviewURL == "" || d.Status != "pending" {
		t.Errorf("got %+v", d)
	}
	if req := w.deploys.last(); req.ArtifactID != artifact || req.Runtime != "binary" || req.Environment != "development" || req.RequestID == [16]byte{} {
		t.Errorf("got %+v", req)
	}
	w.call("POST", "/api/v1/apps/"+app+"/deployments", `{"artifact_id":"`+artifact+`","process_type":"jvm"}`, jsonType).problem(t, 400, "deployment.invalid", "tish", "docker")
	w.call("POST", "/api/v1/apps/"+uuid.NewString()+"/deployments", body, jsonType).problem(t, 404, "app.unknown")
	w.deploys.refuse = notUploaded
	w.call("POST", "/api/v1/apps/"+app+"/deployments", body, jsonType).problem(t, 409, "artifact.not_uploaded")
}

func TestTus(t *testing.T) {
	w := newWorld(t)
	o := w.call("OPTIONS", "/api/v1/uploads", "").want(t, 204)
	if o.Header.Get("Tus-Version") != "1.0.0" || !strings.Contains(o.Header.Get("Tus-Extension"), "creation") || o.Header.Get("Tus-Resumable") != "1.0.0" {
		t.Errorf("got %v", o.Header)
	}
	meta := "Upload-Metadata: filename " + base64.StdEncoding.EncodeToString([]byte("big.bin"))
	r := w.call("POST", "/api/v1/uploads", "", tusOne, "Upload-Length: 10", meta).want(t, 201)
	at := r.Header.Get("Location")
	offset := func(want string) {
		t.Helper()
		h := w.call("HEAD", at, "", tusOne).want(t, 200)
		if h.Header.Get("Upload-Offset") != want || h.Header.Get("Cache-Control") != "no-store" || h.Header.Get("Upload-Length") != "10" {
			t.Errorf("got %v, want offset %s", h.Header, want)
		}
	}
	offset("0")
	p := w.call("PATCH", at, "01234", tusOne, tusContent, "Upload-Offset: 0").want(t, 204)
	if p.Header.Get("Upload-Offset") != "5" {
		t.Errorf("got %v", p.Header)
	}
	offset("5")
	w.call("PATCH", at, "x", tusOne, tusContent, "Upload-Offset: 0").problem(t, 409, "upload.offset")
	w.call("PATCH", at, "x", tusOne, tusContent, "Upload-Offset: -1").problem(t, 400, "upload.offset_malformed")
	w.call("PATCH", at, "x", tusOne, octets, "Upload-Offset: 5").problem(t, 415, "api.media_type", "offset+octet-stream")
	w.call("PATCH", at, "56789", tusOne, tusContent, "Upload-Offset: 5", "Content-Digest: "+digestOf("other")).want(t, 400)
	offset("5")
	w.call("PATCH", at, "56789", tusOne, tusContent, "Upload-Offset: 5").want(t, 204)
	offset("10")
	id := strings.TrimPrefix(at, "/api/v1/uploads/")
	if got := w.call("GET", "/api/v1/artifacts/"+id+"/download", "").want(t, 200); string(got.body) != "0123456789" || !strings.Contains(got.Header.Get("Content-Disposition"), "big.bin") {
		t.Errorf("got %s %v", got.body, got.Header)
	}
	if v := w.call("POST", "/api/v1/uploads", "", "Upload-Length: 1"); v.Header.Get("Tus-Version") != "1.0.0" {
		t.Errorf("got %v", v.Header)
	} else {
		v.problem(t, 412, "upload.version", "1.0.0")
	}
	w.call("POST", "/api/v1/uploads", "", tusOne).problem(t, 400, "upload.length")
	w.call("POST", "/api/v1/uploads", "", tusOne, "Upload-Length: 1", "Upload-Metadata: a !").problem(t, 400, "upload.metadata")
	deferred := w.call("POST", "/api/v1/uploads", "", tusOne, "Upload-Defer-Length: 1").want(t, 201).Header.Get("Location")
	if h := w.call("HEAD", deferred, "", tusOne).want(t, 200); h.Header.Get("Upload-Defer-Length") != "1" {
		t.Errorf("got %v", h.Header)
	}
	w.call("DELETE", deferred, "", tusOne).want(t, 204)
	w.call("HEAD", deferred, "", tusOne).want(t, 404)
}

func TestUploadsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Limits.Uploads = 4 })
	body := newBlocked()
	done := make(chan reply, 1)
	at := "/api/v1/artifacts/" + w.artifact() + "/upload"
	other := "/api/v1/artifacts/" + w.artifact() + "/upload"
	go func() { done <- w.as(w.socket, "POST", at, body, octets) }()
	<-body.reached
	w.call("POST", other, "bytes", octets).problem(t, 503, "api.busy")
	w.call("GET", "/health", "").want(t, 200)
	close(body.release)
	(<-done).want(t, 200)
	eventually(t, "there is room again", func() bool { return w.call("POST", other, "bytes", octets).StatusCode == 200 })
}
