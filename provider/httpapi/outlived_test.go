package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"apocryph/provider/httpapi"
)

// TestStreamEndsWithItsToken: who was shut out reads nothing more, also where the
// answer has begun.
func TestStreamEndsWithItsToken(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Limits.Heartbeat = time.Millisecond })
	w.deploys.gate = make(chan struct{})
	defer close(w.deploys.gate)
	r := w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType, "Prefer: respond-async").want(t, 202)
	made := w.call("POST", "/api/v1/tokens", `{"name": "ci", "scopes": ["read:default"], "expires": "1h"}`, jsonType).want(t, 201)
	var token struct{ ID, Token string }
	if err := json.Unmarshal(made.body, &token); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+r.Header.Get("Location")+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Token)
	resp, err := w.tcp.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s", resp.Status)
	}
	// It lasts while the token does.
	if _, err := io.CopyN(io.Discard, resp.Body, 200*int64(len(": waiting\n\n"))); err != nil {
		t.Fatal(err)
	}
	w.call("DELETE", "/api/v1/tokens/"+token.ID, "").want(t, 204)
	if _, _ = io.Copy(io.Discard, resp.Body); ctx.Err() != nil {
		t.Error("the stream goes on without its token")
	}
}
