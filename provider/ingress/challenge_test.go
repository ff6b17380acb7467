package ingress

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// oneChallenge waits for one host and token.
type oneChallenge struct{}

func (oneChallenge) KeyAuthorization(host, token string) (string, bool) {
	return "tok.thumb", host == shopHost && token == "tok"
}

// TestChallenges answers the provider's own, and leaves the app what is the app's.
func TestChallenges(t *testing.T) {
	i := run(t, func(c *Config) { c.Challenges = oneChallenge{} })
	port := backend(t, "127.0.0.9", 0, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = w.Write([]byte("app " + req.Method + " " + req.URL.Path))
	}))
	endpoints := assign(t, i, app(httpPort(port)))
	if got := i.Hosts(); got != nil {
		t.Errorf("assigned only: hosts are %v", got)
	}
	publish(t, i, endpoints)
	if got := i.Hosts(); got != nil {
		t.Errorf("without a backend: hosts are %v", got)
	}
	publish(t, i, endpoints, "127.0.0.9")
	if got := i.Hosts(); !slices.Equal(got, []string{shopHost}) {
		t.Errorf("hosts are %v, want %s", got, shopHost)
	}
	c := client(t, i, false)
	for path, want := range map[string]string{
		"tok":   "tok.thumb",
		"other": "app GET " + challengePath + "other",
		"tok/":  "app GET " + challengePath + "tok/",
		"":      "app GET " + challengePath,
	} {
		if code, body, _ := get(t, c, "http://"+shopHost+challengePath+path); code != http.StatusOK || body != want {
			t.Errorf("%q: %d %q, want %q", path, code, body, want)
		}
	}
	res, err := c.Post("http://"+shopHost+challengePath+"tok", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.Header.Get("Cache-Control") == "no-store" {
		t.Error("a POST was answered as a challenge")
	}
	wantAnswer(t, c, "http://other.localhost"+challengePath+"tok", http.StatusNotFound, "no app")
	i.Withdraw(podID)
	if got := i.Hosts(); got != nil {
		t.Errorf("withdrawn: hosts are %v", got)
	}
}
