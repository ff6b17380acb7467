package static

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// site is a directory to serve, with everything that must not be served around it.
func site(t *testing.T) *Handler {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"secret": "SECRET", "www/index.html": "<h1>home</h1>", "www/a.txt": "0123456789", "www/sub/index.html": "sub",
		"www/empty/x.bin": "x", "www/app.js": "plain", "www/app.js.gz": "GZ", "www/app.js.br": "BR", "www/only.css": "css", "www/only.css.gz": "CSSGZ",
		"www/.env": "SECRET", "www/.git/config": "SECRET", "www/sub/.x": "SECRET", "www/.well-known/acme": "token", "www/.well-known/.x": "SECRET",
		"www/404.html": "gone", "www/naïve name.html": "odd", "www/noext": "<script>",
	} {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"www/out": "../secret", "www/abs": filepath.Join(dir, "secret"), "www/in": "a.txt", "www/loop": "loop", "www/updir": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(filepath.Join(dir, "www"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return New(root)
}

func tagOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

func ask(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "http://site.example/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	h := site(t)
	for _, tt := range []struct {
		name, method, path string
		header             []string
		code               int
		body               string
		want               map[string]string
	}{
		{"root", "GET", "/", nil, 200, "<h1>home</h1>", map[string]string{"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "ETag": tagOf("<h1>home</h1>"), "Last-Modified": ""}},
		{"head", "HEAD", "/a.txt", nil, 200, "", map[string]string{"Content-Length": "10", "ETag": tagOf("0123456789"), "Content-Type": "text/plain; charset=utf-8"}},
		{"directory", "GET", "/sub/", nil, 200, "sub", nil},
		{"redirect", "GET", "/sub?x=1", nil, 301, "", map[string]string{"Location": "./sub/?x=1"}},
		{"no listing", "GET", "/empty/", nil, 404, "gone", nil},
		{"missing", "GET", "/nothing", nil, 404, "gone", map[string]string{"Content-Type": "text/html; charset=utf-8", "ETag": ""}},
		{"missing, head", "HEAD", "/nothing", nil, 404, "", nil},
		{"range", "GET", "/a.txt", []string{"Range", "bytes=2-4"}, 206, "234", map[string]string{"Content-Range": "bytes 2-4/10"}},
		{"suffix range", "GET", "/a.txt", []string{"Range", "bytes=-2"}, 206, "89", nil},
		{"range beyond", "GET", "/a.txt", []string{"Range", "bytes=20-"}, 416, "", map[string]string{"Content-Range": "bytes */10"}},
		{"if-range holds", "GET", "/a.txt", []string{"Range", "bytes=0-0", "If-Range", tagOf("0123456789")}, 206, "0", nil},
		{"if-range stale", "GET", "/a.txt", []string{"Range", "bytes=0-0", "If-Range", `"old"`}, 200, "0123456789", nil},
		{"not modified", "GET", "/a.txt", []string{"If-None-Match", `"x", ` + tagOf("0123456789")}, 304, "", map[string]string{"ETag": tagOf("0123456789")}},
		{"modified", "GET", "/a.txt", []string{"If-None-Match", `"x"`}, 200, "0123456789", nil},
		{"if-match fails", "GET", "/a.txt", []string{"If-Match", `"x"`}, 412, "", nil},
		{"brotli", "GET", "/app.js", []string{"Accept-Encoding", "gzip, br"}, 200, "BR", map[string]string{"Content-Encoding": "br", "Vary": "Accept-Encoding", "ETag": tagOf("BR"), "Content-Type": "text/javascript; charset=utf-8"}},
		{"gzip", "GET", "/app.js", []string{"Accept-Encoding", "gzip;q=0.5, br;q=0"}, 200, "GZ", map[string]string{"Content-Encoding": "gzip"}},
		{"plain", "GET", "/app.js", nil, 200, "plain", map[string]string{"Content-Encoding": "", "Vary": "Accept-Encoding", "ETag": tagOf("plain")}},
		{"only gzip is there", "GET", "/only.css", []string{"Accept-Encoding", "br"}, 200, "css", map[string]string{"Content-Encoding": "", "Vary": "Accept-Encoding"}},
		{"the packed file itself", "GET", "/app.js.gz", []string{"Accept-Encoding", "gzip"}, 200, "GZ", map[string]string{"Content-Encoding": "", "Content-Type": "application/gzip"}},
		{"no extension", "GET", "/noext", nil, 200, "<script>", map[string]string{"Content-Type": "application/octet-stream"}},
		{"odd name", "GET", "/naïve name.html", nil, 200, "odd", nil},
		{"well known", "GET", "/.well-known/acme", nil, 200, "token", nil},
		{"hidden in well known", "GET", "/.well-known/.x", nil, 404, "gone", nil},
		{"hidden", "GET", "/.env", nil, 404, "gone", nil},
		{"hidden directory", "GET", "/.git/config", nil, 404, "gone", nil},
		{"hidden below", "GET", "/sub/.x", nil, 404, "gone", nil},
		{"health is not reserved", "GET", "/healthz", nil, 404, "gone", nil},
		{"link inside", "GET", "/in", nil, 200, "0123456789", nil},
		{"link outside", "GET", "/out", nil, 404, "gone", nil},
		{"absolute link", "GET", "/abs", nil, 404, "gone", nil},
		{"link to above", "GET", "/updir/secret", nil, 404, "gone", nil},
		{"loop", "GET", "/loop", nil, 404, "gone", nil},
		{"traversal", "GET", "/../secret", nil, 404, "gone", nil},
		{"traversal below", "GET", "/sub/../../secret", nil, 404, "gone", nil},
		{"double slash", "GET", "//sub", nil, 404, "gone", nil},
		{"backslash", "GET", `/..\secret`, nil, 404, "gone", nil},
		{"nul", "GET", "/a.txt\x00.html", nil, 404, "gone", nil},
		{"file as directory", "GET", "/a.txt/", nil, 404, "gone", nil},
		{"below a file", "GET", "/a.txt/b", nil, 404, "gone", nil},
		{"long", "GET", "/" + strings.Repeat("x", 5000), nil, 404, "gone", nil},
		{"post", "POST", "/", nil, 405, "method not allowed\n", map[string]string{"Allow": "GET, HEAD"}},
		{"options", "OPTIONS", "/", nil, 405, "method not allowed\n", map[string]string{"Allow": "GET, HEAD"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := ask(h, tt.method, tt.path, tt.header...)
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.code || (tt.code != 416 && string(body) != tt.body) {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tt.code, tt.body)
			}
			for k, v := range tt.want {
				if got := resp.Header.Get(k); got != v {
					t.Errorf("%s: got %q, want %q", k, got, v)
				}
			}
			if bytes.Contains(body, []byte("SECRET")) {
				t.Error("served what it must not")
			}
		})
	}
}

// TestTagFollowsContent: a file that is replaced gets another tag.
func TestTagFollowsContent(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	h := New(root)
	for _, content := range []string{"one", "three"} {
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := ask(h, "GET", "/f").Header.Get("ETag"); got != tagOf(content) {
			t.Errorf("%s: got %s, want %s", content, got, tagOf(content))
		}
	}
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{"/", "/a", "/a/", "//", "/../x", "/.well-known/x", "/a/.b", "", "a", "/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, ok := fileName(s)
		if ok && (!filepath.IsLocal(name) || strings.Contains("/"+name+"/", "/../") || strings.Contains("/"+name, "/.env")) {
			t.Errorf("%q is served as %q", s, name)
		}
	})
}
