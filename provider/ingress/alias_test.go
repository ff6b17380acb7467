package ingress

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"apocryph/manifest"
	"apocryph/provider"
)

// TestAliases: names beside those of endpoints, of a pod or of one revision of it.
func TestAliases(t *testing.T) {
	i := run(t, nil)
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "app at "+r.Host)
	}))
	one, two := manifest.DigestOf([]byte("1")), manifest.DigestOf([]byte("2"))
	endpoints := assign(t, i, app(httpPort(port)))
	i.SetAliases(map[string]provider.Alias{
		"shop-team.localhost": {Pod: podID, Name: "app shop"},
		"shop-one.localhost":  {Pod: podID, Manifest: one, Name: "revision 1"},
		"shop-two.localhost":  {Pod: podID, Manifest: two, Name: "revision 2"},
		"other.localhost":     {Pod: "pod-b", Name: "app other"},
		shopHost:              {Pod: "pod-b", Name: "a thief"},
	})
	get := func(host string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	check := func(host string, code int, text string) {
		t.Helper()
		if got, body := get(host); got != code || !strings.Contains(body, text) {
			t.Errorf("%s: got %d %q, want %d %q", host, got, body, code, text)
		}
	}
	check("shop-team.localhost", 502, "is not answering") // nothing is published
	serve := func(m manifest.Digest) {
		t.Helper()
		if err := i.Publish(podID, endpoints, []provider.Backend{{Addr: "127.0.0.1", Manifest: m}}); err != nil {
			t.Fatal(err)
		}
	}
	serve(one)
	check(shopHost, 200, "app at "+shopHost)
	check("shop-team.localhost", 200, "app at shop-team.localhost")
	check("shop-one.localhost", 200, "app at shop-one.localhost")
	check("shop-two.localhost", 404, "revision 2 does not run")
	check("other.localhost", 404, "app other does not run")
	check("unknown.localhost", 404, "no app is served as unknown.localhost")
	serve(two)
	check("shop-one.localhost", 404, "revision 1 does not run any more")
	check("shop-two.localhost", 200, "app at")
	if got := i.URL("x.localhost"); got != "http://x.localhost:"+strings.Split(i.Addr().String(), ":")[1]+"/" {
		t.Errorf("got %q", got)
	}
	i.SetAliases(nil)
	check("shop-team.localhost", 404, "no app is served")
}
