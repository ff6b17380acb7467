package ingress

import (
	"net/http"
	"testing"
)

// TestOwnAnswers tells the ingress's answers from those of an app that has the
// same status, or that sends the header itself.
func TestOwnAnswers(t *testing.T) {
	i := run(t, nil)
	c := client(t, i, false)
	up := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Apocryph-Ingress", "not from the ingress")
		w.WriteHeader(http.StatusBadGateway)
	}))
	endpoints := assign(t, i, app(httpPort(up)))
	for _, c2 := range []struct{ name, url, want string }{
		{"unknown host", "http://other.localhost/", "no app is served as other.localhost here"},
		{"not running", endpoints[0].URL, "app " + shopHost + " is not answering: it is not running"},
	} {
		if _, _, header := get(t, c, c2.url); header.Get("Apocryph-Ingress") != c2.want {
			t.Errorf("%s: got %q, want %q", c2.name, header.Get("Apocryph-Ingress"), c2.want)
		}
	}
	publish(t, i, endpoints, "127.0.0.1")
	code, _, header := get(t, c, endpoints[0].URL)
	if got := header.Values("Apocryph-Ingress"); code != http.StatusBadGateway || len(got) != 0 {
		t.Errorf("the app's own 502 is marked %q (status %d)", got, code)
	}
}
