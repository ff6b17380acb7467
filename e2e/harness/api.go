package harness

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"
)

// Socket is a client whose every host is a unix socket.
func Socket(path string) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}
}

// JSON calls a provider's API, reads the answer into v unless that is nil, and
// returns its status.
func JSON(t *testing.T, c *http.Client, method, path string, v any) int {
	t.Helper()
	// Not the test's own context: it has ended when things are cleaned up.
	r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if v != nil && resp.StatusCode < 300 {
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode
}
