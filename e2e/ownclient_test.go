package e2e

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// registry serves an OCI layout's image as app:1, by the two calls of the
// distribution specification that a pull makes. It returns its host and port.
func registry(t *testing.T, layout string) string {
	t.Helper()
	blob := func(digest string) ([]byte, error) {
		return os.ReadFile(filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")))
	}
	var index struct {
		Manifests []struct{ Digest, MediaType string }
	}
	b, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &index); err != nil || len(index.Manifests) == 0 {
		t.Fatalf("%s: %v", b, err)
	}
	top := index.Manifests[0]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, name := filepath.Base(filepath.Dir(r.URL.Path)), filepath.Base(r.URL.Path)
		switch {
		case r.URL.Path == "/v2/":
			return
		case kind == "manifests":
			if name != "1" && name != top.Digest {
				http.NotFound(w, r)
				return
			}
			name = top.Digest
			w.Header().Set("Content-Type", top.MediaType)
			w.Header().Set("Docker-Content-Digest", top.Digest)
		case kind != "blobs":
			http.NotFound(w, r)
			return
		}
		b, err := blob(name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestR11OwnClient: the project's own client deploys to a running provider, with
// files and without, over the socket, TCP and the ingress's TLS. The earlier form
// of the call ends in the same deployment.
func TestR11OwnClient(t *testing.T) {
	w := harness.New(t)
	ref := registry(t, w.Image(0, 1)) + "/app:1"
	host, _, _ := strings.Cut(ref, "/")
	p := w.Provider("provider", "--ingress-tls", "127.0.0.1:0", "--image-registry", host)
	pub := w.Publisher("publisher")
	t.Cleanup(func() { deleteDirect(t, p, "team") })
	files := w.Write("app.yaml", direct(t, w, "hello files", "health: {http: /}"))
	w.Write("token", token(t, p, "deploy:team"))
	tcp, over := "http://"+p.Info.API, "https://api.localhost:"+p.Info.IngressTLS[strings.LastIndex(p.Info.IngressTLS, ":")+1:]
	ca := w.Write("ca.pem", certificateOf(t, p.Info.IngressTLS, "api.localhost"))
	pub.Must("login", tcp, "--token-file", w.Path("token"))
	pub.Must("login", over, "--token-file", w.Path("token"), "--api-ca", ca)

	for greeting, args := range map[string][]string{
		"hello socket": {"--api", "unix:" + p.Info.APISocket, "--namespace", "team"},
		"hello TCP":    {"--api", tcp},
		"hello TLS":    {"--api", over, "--api-ca", ca},
	} {
		w.Write("app.yaml", direct(t, w, greeting, "health: {http: /}"))
		got := pub.Must(append([]string{"deploy", files, "--json"}, args...)...).Object(t)
		if got["namespace"] != "team" {
			t.Errorf("%s: %v", greeting, got)
		}
		answers(t, p, plain(got), greeting)
	}
	// A certificate that is not the ingress's ends it before the token is sent.
	pub.Fails(12, []string{"certificate"}, "deploy", files, "--api", over)

	w.Write("app.yaml", strings.Replace(direct(t, w, "hello reference", "health: {http: /}"), "oci-archive:app.tar", ref, 1))
	got := pub.Must("deploy", files, "--json", "--api", tcp).Object(t)
	answers(t, p, plain(got), "hello reference")
	page := w.Shell(w.Path(), fmt.Sprintf(`curl -sS -i -H "Authorization: Bearer $(cat token)" -H 'Content-Type: application/json' -d '%s' %s/deploy`,
		fmt.Sprintf(`{"name":"hello","runtime":"image","image":%q,"port":8080,"health_path":"/","env":{"GREETING":"hello old form"}}`, ref), tcp))
	if !strings.HasPrefix(page, "HTTP/1.1 201") || !strings.Contains(page, "Deprecation: ") {
		t.Errorf("the old form: %s", page)
	}
	answers(t, p, plain(got), "hello old form")
}

// certificateOf is what a TLS server shows for a name, PEM.
func certificateOf(t *testing.T, addr, name string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out strings.Builder
	for _, cert := range c.ConnectionState().PeerCertificates {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return out.String()
}

// plain is a deployment's URL at the ingress without TLS.
func plain(deployment map[string]any) string {
	return strings.Replace(deployment["url"].(string), "https://", "http://", 1)
}
