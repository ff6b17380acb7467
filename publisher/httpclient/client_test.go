package httpclient

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/proto/status"
)

func TestParseAddress(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"https://API.example.org":      "https://api.example.org",
		"https://api.example.org:443/": "https://api.example.org",
		"https://api.example.org:8443": "https://api.example.org:8443",
		"http://127.0.0.1:47080/":      "http://127.0.0.1:47080",
		"http://[::1]:47080":           "http://[::1]:47080",
		"http://localhost:80":          "http://localhost",
		"unix:/run/api.sock":           "unix:/run/api.sock",
		"unix:///run/api.sock":         "unix:/run/api.sock",
		"unix:api.sock":                "unix:" + filepath.Join(wd, "api.sock"),
	} {
		if got, err := ParseAddress(in); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "api.example.org", "http://api.example.org", "http://10.0.0.1", "http://127.0.0.1.example.org", "http://localhost.example.org",
		"https://", "https://u:secretword@api.example.org", "https://api.example.org/v1", "https://api.example.org?a=b", "https://api.example.org#a",
		"ftp://api.example.org", "unix:", "https://a\nb", "https://" + strings.Repeat("a", maxAddress), "http://0.0.0.0:1",
	} {
		got, err := ParseAddress(in)
		if status.CodeOf(err) != status.InvalidArgument || strings.Contains(err.Error(), "secretword") {
			t.Errorf("%q: got %s, %v", in, got, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	addr, err := ParseAddress("https://api.example.org")
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"no address":       {},
		"token of 2 lines": {Address: addr, Token: "secret\nword"},
		"token too long":   {Address: addr, Token: strings.Repeat("a", MaxToken+1)},
		"no certificate":   {Address: addr, CA: []byte("hello")},
	} {
		if _, err := New(cfg); status.CodeOf(err) != status.InvalidArgument || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	a := play(t)
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		want status.Code
	}{
		"accepted":            {answer(200, "application/json", "{}"), status.OK},
		"of many namespaces":  {problemOf(400, "invalid_argument", "api.namespace"), status.OK},
		"unknown":             {problemOf(401, "unauthenticated", "auth.token"), status.Unauthenticated},
		"may nothing":         {problemOf(403, "permission_denied", "auth.scope"), status.PermissionDenied},
		"no API":              {answer(404, "text/plain", "not found"), status.NotFound},
		"a redirect":          {answer(302, "text/plain", "", "Location", "/elsewhere"), status.Unavailable},
		"lost":                {lose, status.Unavailable},
		"another bad request": {problemOf(400, "invalid_argument", "api.query"), status.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			a.reset(t, []http.HandlerFunc{tt.h, tt.h})
			if err := a.client(t).Check(t.Context()); status.CodeOf(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if c := a.seen()[0]; len(a.seen()) != 1 || c.auth != "Bearer apo_secret" || c.path != "/api/v1/apps?page_size=1" {
				t.Errorf("asked by %+v", c)
			}
		})
	}
}

// TestTLS: a certificate is the system's, or in the file, or refused. Nothing is
// sent to whom it is not verified.
func TestTLS(t *testing.T) {
	asked := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	other := httptest.NewUnstartedServer(nil)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	other.Close()
	a := &api{url: s.URL}
	err := a.client(t).Check(t.Context())
	if status.CodeOf(err) != status.Untrusted || asked != 0 {
		t.Errorf("a certificate of nobody: %v after %d calls", err, asked)
	}
	if o := deploy(t, a.client(t), sample()); status.CodeOf(o.err) != status.Untrusted || asked != 0 {
		t.Errorf("a deploy: %v after %d calls", o.err, asked)
	}
	if err := a.client(t, func(c *Config) { c.CA = own }).Check(t.Context()); err != nil || asked != 1 {
		t.Errorf("with its certificate: %v after %d calls", err, asked)
	}
}

func TestNobodyThere(t *testing.T) {
	a := &api{url: "unix:" + filepath.Join(t.TempDir(), "none")}
	deploy(t, a.client(t), sample()).refused(t, status.Unavailable, "api.unreachable")
}

// TestLocalhostElsewhere: a name of this machine that leads away is not followed.
func TestLocalhostElsewhere(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "192.0.2.1:80": false, "0.0.0.0:80": false, "x": false} {
		if err := onlyLoopback(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestNamesBelowLocalhost(t *testing.T) {
	for address, want := range map[string]string{
		"api.localhost:443": "127.0.0.1:443", "A.B.LOCALHOST.:8": "127.0.0.1:8", "localhost:1": "localhost:1",
		"notlocalhost:1": "notlocalhost:1", "localhost.example.org:1": "localhost.example.org:1", "x": "x",
	} {
		if got := here(address); got != want {
			t.Errorf("%s: got %s", address, got)
		}
	}
}
