package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apocryph/e2e/harness"
)

// door is a provider that takes direct deploys, and a directory with a curl that
// may call it: what its user would have in ~/.curlrc.
type door struct {
	*harness.Provider
	w   *harness.World
	dir string
	env []string
}

// openDoor starts a provider and makes a token of a scope for it.
func openDoor(t *testing.T, scope string, flags ...string) *door {
	w := harness.New(t)
	p := w.Provider("provider", append([]string{"--ingress-tls", "127.0.0.1:0"}, flags...)...)
	token := p.Operate("token", "create", "--name", "test", "--scope", scope)
	w.Write("home/.curlrc", fmt.Sprintf("header = \"Authorization: Bearer %s\"\ninsecure\nsilent\nshow-error\nconnect-to = \"::%s\"\n", token, p.Info.IngressTLS))
	d := &door{Provider: p, w: w, dir: filepath.Dir(w.Write("work/.keep", ""))}
	d.env = []string{"INGRESS=https://api.localhost", "API=https://api.localhost"}
	return d
}

// sh runs a script with curl as the user has it.
func (d *door) sh(script string, vars ...string) string {
	return d.w.Shell(d.dir, script, append(append([]string{}, d.env...), vars...)...)
}

// clean deletes all apps: a test leaves no pod behind.
func (d *door) clean(t *testing.T) {
	t.Helper()
	// Some are given all of their grace: at once, they wait together.
	got := d.sh(`curl $API/api/v1/apps | jq -r .data[].id | xargs -rP 16 -I{} curl -o /dev/null -w '%{http_code}\n' -X DELETE $API/api/v1/apps/{}`)
	for code := range strings.Lines(got) {
		if code != "204\n" {
			t.Errorf("deleting apps: %s", got)
		}
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in %.2000q", err, text)
	}
	return out
}

// TestDirectSite deploys a static site with curl in every form that files may
// have, through the ingress over TLS, and asks for the page (R1, R2, R3, R8).
func TestDirectSite(t *testing.T) {
	d := openDoor(t, "deploy:*")
	defer d.clean(t)
	d.w.Write("work/site/index.html", "<h1>hello</h1>")
	d.w.Write("work/site/style.css", "h1 { color: green }")
	d.w.Write("work/manifest.json", `{"name":"hello","runtime":"static"}`)
	d.sh(`tar cf app.tar -C site . && gzip -k app.tar && printf more > extra.txt`)
	for _, form := range []string{
		`-F "manifest=@manifest.json" -F "files=@app.tar"`,
		`-F "files=@app.tar.gz" -F 'manifest={"name":"hello","runtime":"static"}'`,
		`-F "manifest=@manifest.json" -F "files=@site/index.html" -F "files=@site/style.css" -F "files=@extra.txt"`,
	} {
		got := d.sh(`curl -w '\n%{http_code}' ` + form + ` $INGRESS/deploy`)
		end := strings.LastIndex(got, "\n")
		body, code := got[:max(end, 0)], got[end+1:]
		if code != "201" {
			t.Fatalf("%s: %s", form, got)
		}
		result := object(t, body)
		for _, u := range []string{"url", "preview_url"} {
			if page := d.sh(`curl -w ' %{http_code} %header{content-type}' "$URL"`, "URL="+result[u].(string)); page != "<h1>hello</h1> 200 text/html; charset=utf-8" {
				t.Errorf("%s: %s answers %q", form, result[u], page)
			}
		}
	}
	if got := d.sh(`curl https://hello-default.localhost/extra.txt`); got != "more" {
		t.Errorf("a single file is %q", got)
	}
	// What is wrong is said, and disturbs nothing (R4, R6, R7).
	for script, want := range map[string]string{
		`curl -w ' %{http_code}' -F "files=@app.tar" $INGRESS/deploy`:                                                           "manifest",
		`curl -w ' %{http_code}' -F 'manifest={"name":' -F "files=@app.tar" $INGRESS/deploy`:                                    "line 1, column 9",
		`curl -w ' %{http_code}' -F 'manifest={"runtime":"static"}' -F "files=@app.tar" $INGRESS/deploy`:                        "/name",
		`curl -w ' %{http_code}' -F 'manifest={"name":"hello","runtime":"static"}' $INGRESS/deploy`:                             "files",
		`curl -w ' %{http_code}' -F 'manifest={"name":"hello","runtime":"cobol"}' -F "files=@app.tar" $INGRESS/deploy`:          "static",
		`curl -w ' %{http_code}' -F "manifest=@manifest.json" -F "files=@app.tar" -F "evil=@extra.txt" $INGRESS/deploy`:         "evil",
		`curl -w ' %{http_code}' -H 'Content-Type: application/json' -d '{"name":"hello","runtime":"static"}' $API/deploy`:      "files",
		`curl -w ' %{http_code}' -H 'Content-Type: application/json' -d '{"name":"x","runtime":"image","ports":1}' $API/deploy`: "/ports",
	} {
		if got := d.sh(script); !strings.HasSuffix(got, " 400") || !strings.Contains(got, want) {
			t.Errorf("%s\n%s", script, got)
		}
	}
	if got := d.sh(`curl https://hello-default.localhost/style.css`); !strings.Contains(got, "green") {
		// The last deploy that worked has it.
		t.Errorf("the site answers %q after refusals", got)
	}
	history := object(t, d.sh(`curl $API/api/v1/apps/default/hello`))
	list := object(t, d.sh(`curl "$API/api/v1/apps/$ID/deployments"`, "ID="+history["id"].(string)))
	if list["total"].(float64) != 3 {
		t.Errorf("got %v deployments", list["total"])
	}
}

// TestDirectArtifact uploads a program, deploys it by its id and updates it under
// load: a revision that fails disturbs nothing, and no request is lost (Z1-Z6).
func TestDirectArtifact(t *testing.T) {
	d := openDoor(t, "deploy:default")
	defer d.clean(t)
	d.sh(`cp "$BIN" my-app`, "BIN="+d.w.App())
	got := d.sh(`
ARTIFACT_ID=$(curl -f -X POST $API/api/v1/artifacts -H 'Content-Type: application/json' -d '{"name":"my-app-v1.0","content_type":"application/octet-stream"}' | sed -E 's/.*"id":"([^"]+)".*/\1/')
curl -f -X POST $API/api/v1/artifacts/$ARTIFACT_ID/upload -H 'Content-Type: application/octet-stream' --data-binary @./my-app >/dev/null
curl -f $API/api/v1/artifacts/$ARTIFACT_ID/download -o back && cmp back my-app
curl -f $API/api/v1/artifacts | grep -q $ARTIFACT_ID
sha256sum my-app | cut -d' ' -f1
curl -f $API/api/v1/artifacts/$ARTIFACT_ID`)
	sum, body, _ := strings.Cut(got, "\n")
	artifact := object(t, body)
	info, err := os.Stat(filepath.Join(d.dir, "my-app"))
	if err != nil {
		t.Fatal(err)
	}
	if artifact["sha256"] != sum || artifact["size"].(float64) != float64(info.Size()) || artifact["name"] != "my-app-v1.0" || artifact["content_type"] != "application/octet-stream" {
		t.Errorf("got %v, want %s", artifact, sum)
	}
	id := artifact["id"].(string)
	app := object(t, d.sh(`curl -f -X POST $API/api/v1/apps -H 'Content-Type: application/json' -d '{"name":"web","namespace":"default"}'`))
	deploy := func(body string) map[string]any {
		t.Helper()
		made := object(t, d.sh(`curl -f -X POST $API/api/v1/apps/$APP_ID/deployments -H 'Content-Type: application/json' -d "$BODY"`, "APP_ID="+app["id"].(string), "BODY="+body))
		return object(t, d.sh(`curl -f "$API/api/v1/deployments/$ID/wait?timeout=60s"`, "ID="+made["id"].(string)))
	}
	order := func(greeting string, more string) string {
		return fmt.Sprintf(`{"artifact_id":%q,"process_type":"tish","replicas":1,"environment":"production","networking":{"port":8080,"health_path":"/"},"env":{"GREETING":%q}%s}`, id, greeting, more)
	}
	first := deploy(order("one", ""))
	if first["status"] != "succeeded" || first["preview_url"] == "" {
		t.Fatalf("got %v", first)
	}

	// Requests without a pause, over connections that are kept.
	var asked, failed atomic.Int64
	var worst atomic.Value
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				req, err := http.NewRequest(http.MethodGet, "http://"+d.Info.Ingress+"/", nil)
				if err != nil {
					return
				}
				req.Host = "web-default.localhost"
				res, err := client.Do(req)
				asked.Add(1)
				if err != nil {
					failed.Add(1)
					worst.Store(err.Error())
					continue
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != 200 {
					failed.Add(1)
					worst.Store(fmt.Sprintf("%d %v %.300s", res.StatusCode, err, body))
				}
			}
		})
	}
	for n := range 3 {
		if got := deploy(order(fmt.Sprint("update ", n), "")); got["status"] != "succeeded" {
			t.Errorf("got %v", got)
		}
	}
	// One that listens on another port than the check asks, and so is never well.
	bad := deploy(strings.Replace(order("bad", `,"entry":"nothing"`), `,"env"`, `,"args":["x"],"env"`, 1))
	if bad["status"] != "failed" {
		t.Errorf("got %v", bad)
	}
	back := object(t, d.sh(`curl -f -X POST $API/api/v1/deployments/$ID/rollback`, "ID="+first["id"].(string)))
	back = object(t, d.sh(`curl -f "$API/api/v1/deployments/$ID/wait?timeout=60s"`, "ID="+back["id"].(string)))
	close(stop)
	wg.Wait()
	if asked.Load() == 0 || failed.Load() > 0 {
		t.Errorf("%d of %d requests failed: %v", failed.Load(), asked.Load(), worst.Load())
	}
	if back["status"] != "succeeded" {
		t.Errorf("got %v", back)
	}
	if got := d.sh(`curl https://web-default.localhost/`); !strings.HasPrefix(got, "one from ") {
		t.Errorf("after the roll back it says %q", got)
	}
	// What serves users has proof, though its deployer asked for none.
	user := d.w.Publisher("user")
	pol := user.Policy(d.Provider)
	seen := user.Must("verify", back["url"].(string), "--dial", d.Info.IngressTLS, "--policy", pol, "--json").Object(t)
	if seen["running"].(map[string]any)["manifest_digest"] != back["manifest_digest"] {
		t.Errorf("what runs is %v", seen["running"])
	}

	// A killed provider finds the pod, the app and its deployments again.
	d.Kill()
	d.Start()
	d.sh(`sed -i -E 's/^connect-to.*/connect-to = "::'$TLS'"/' ~/.curlrc`, "TLS="+d.Info.IngressTLS)
	again := object(t, d.sh(`curl -f $API/api/v1/deployments/$ID`, "ID="+back["id"].(string)))
	if again["status"] != "succeeded" || again["revision"] != back["revision"] {
		t.Errorf("got %v", again)
	}
	if got := d.sh(`curl --retry 5 --retry-all-errors https://web-default.localhost/`); !strings.HasPrefix(got, "one from ") {
		t.Errorf("after the restart it says %q", got)
	}
	// A token of one namespace does not see another's.
	if got := d.sh(`curl -w ' %{http_code}' -F 'manifest={"name":"x","runtime":"static","namespace":"other"}' -F files=@.keep $API/deploy`); !strings.HasSuffix(got, " 403") {
		t.Errorf("another namespace: %s", got)
	}
}
