package httpapi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/httpapi"
)

// TestSecretsStayInside: what a secret volume holds goes to the deployment, and is
// in no answer, event, log, kept answer or file, whatever becomes of the call.
func TestSecretsStayInside(t *testing.T) {
	const canary = "CANARY-7d1f"
	var log lockedBuffer
	w := newWorld(t, func(c *httpapi.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	volumes := fmt.Sprintf(`"volumes":[{"name":"s","path":"/run/s","type":"secret","files":{"text":%q,"raw":{"base64":%q}}}]`,
		canary, base64.StdEncoding.EncodeToString([]byte(canary)))
	image := `{"name":"web","runtime":"image","image":"registry.example/web:1",` + volumes
	site := form(asValue("manifest", `{"name":"site","runtime":"static",`+volumes+`}`), asFile("files", "index.html", "x"))
	shown := map[string][]byte{}
	call := func(name string, code int, method, path, body string, headers ...string) reply {
		t.Helper()
		r := w.call(method, path, body, headers...).want(t, code)
		shown[name] = r.body
		for h, v := range r.Header {
			shown[name+" "+h] = []byte(strings.Join(v, " "))
		}
		return r
	}
	taken := func(name string) {
		t.Helper()
		want := map[string]map[string][]byte{"s": {"text": []byte(canary), "raw": []byte(canary)}}
		if d := cmp.Diff(want, w.deploys.last().Secrets); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	call("multipart", 201, "POST", "/deploy", site, formType)
	taken("multipart")
	var d deploy.Deployment
	call("JSON", 201, "POST", "/deploy", image+"}", jsonType, "Idempotency-Key: one").json(t, &d)
	taken("JSON")
	call("repeat", 201, "POST", "/deploy", image+"}", jsonType, "Idempotency-Key: one")
	call("dry run", 200, "POST", "/deploy?dry_run=true", image+"}", jsonType)
	call("events of the call", 200, "POST", "/deploy", image+"}", jsonType, "Accept: text/event-stream")
	call("get", 200, "GET", "/api/v1/deployments/"+d.ID, "")
	call("events", 200, "GET", "/api/v1/deployments/"+d.ID+"/events", "")
	var a deploy.App
	call("new app", 201, "POST", "/api/v1/apps", `{"name":"web"}`, jsonType).json(t, &a)
	call("app", 200, "GET", "/api/v1/apps/default/web", "")
	call("list", 200, "GET", "/api/v1/apps/"+a.ID+"/deployments", "")
	call("of an app", 201, "POST", "/api/v1/apps/"+a.ID+"/deployments", `{"process_type":"docker","image":"registry.example/web:1",`+volumes+`}`, jsonType, "Prefer: wait=5")
	taken("of an app")
	call("another fault", 400, "POST", "/deploy", image+`,"replicas":"many"}`, jsonType, "Idempotency-Key: two")
	call("malformed", 400, "POST", "/deploy", image+`,"x":`, jsonType)
	call("twice", 400, "POST", "/deploy", image+`,`+volumes+`}`, jsonType)
	call("wrong type", 400, "POST", "/deploy", strings.Replace(image, `"secret"`, `"emptyDir"`, 1)+"}", jsonType)
	call("reused key", 422, "POST", "/deploy", strings.Replace(image, "/run/s", "/run/t", 1)+"}", jsonType, "Idempotency-Key: one")
	w.deploys.failure = &deploy.Failure{Code: "pod.failed", Detail: "it exited", Class: status.AppFailed}
	call("failed", 502, "POST", "/deploy", image+"}", jsonType, "Idempotency-Key: three")

	shown["log"] = log.bytes()
	kept, err := w.answers.All(t.Context())
	if err != nil || len(kept) == 0 {
		t.Fatalf("no answers are kept: %v", err)
	}
	for name, b := range kept {
		var k struct{ Answer []byte }
		if err := json.Unmarshal(b, &k); err != nil || len(k.Answer) == 0 {
			t.Fatalf("%s, %v", b, err)
		}
		shown["kept "+name], shown["kept answer "+name] = b, k.Answer
	}
	err = filepath.WalkDir(filepath.Dir(w.cfg.Staging), func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		shown[p], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(shown["log"], []byte("request refused")) {
		t.Error("nothing was logged")
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	for name, b := range shown {
		for _, form := range []string{canary, encoded[:12]} {
			if bytes.Contains(b, []byte(form)) {
				t.Errorf("%s shows it: %s", name, b)
			}
		}
	}
}

// lockedBuffer is a log that several goroutines write to.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.all.Bytes())
}
