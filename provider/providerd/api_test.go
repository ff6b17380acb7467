package providerd

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/runtimetest"
)

// started is a whole provider over a fake runtime, whose API is on a TCP port and
// on the socket.
func started(t *testing.T, dir string) Info {
	t.Helper()
	rt := runtimetest.NewFake(t)
	node, err := New(Config{
		DataDir: dir, TEE: "soft", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, Ingress: "127.0.0.1:0", Domain: "localhost",
		Ports: "30000-32767", Version: "test", API: []string{"127.0.0.1:0"},
		Runtime: &Runtime{Runtime: rt, Instances: rt, Logs: rt, Volumes: rt},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the provider ended: %v", err)
		}
	})
	select {
	case <-node.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("the provider did not start: %v", err)
	}
	return node.Info()
}

// shortDir is a directory whose sockets have names of less than 108 bytes (unix(7)).
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// asks makes a client of one address.
func asks(network, addr string) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}}
}

func ask(t *testing.T, c *http.Client, method, path, body, token string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://provider"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

// TestI15Socket: the socket takes the place of one that a killed provider left, is
// for its owner alone, and serves what TCP serves, to a caller that the kernel
// vouches for in place of a token.
func TestI15Socket(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "api.sock")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		t.Fatal("the stale socket answers")
	}
	info := started(t, dir)
	if info.APISocket != path {
		t.Errorf("the socket is %s", info.APISocket)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("got %v, %v", st.Mode(), err)
	}
	socket, tcp := asks("unix", path), asks("tcp", info.API)
	if code, b := ask(t, tcp, "GET", "/pods", "", ""); code != 401 {
		t.Errorf("over TCP without a token: %d %s", code, b)
	}
	code, b := ask(t, socket, "POST", "/api/v1/tokens", `{"name":"t","scopes":["operator"],"expires":"1h"}`, "")
	var made struct{ Token string }
	if err := json.Unmarshal(b, &made); code != 201 || err != nil {
		t.Fatalf("%d %s", code, b)
	}
	var doc struct{ Paths map[string]map[string]any }
	if _, b := ask(t, socket, "GET", "/openapi.json", "", ""); json.Unmarshal(b, &doc) != nil || len(doc.Paths) < 20 {
		t.Fatalf("%d paths", len(doc.Paths))
	}
	for p, methods := range doc.Paths {
		p = strings.NewReplacer("{id}", "x", "{namespace}", "default", "{name}", "x").Replace(p)
		for m := range methods {
			if m != "get" || p == "/health" {
				continue
			}
			a, _ := ask(t, socket, "GET", p, "", "")
			b, _ := ask(t, tcp, "GET", p, "", made.Token)
			if a != b || a == 401 || a == 403 {
				t.Errorf("%s: %d on the socket, %d over TCP", p, a, b)
			}
		}
	}
}

// TestListenSocket: what is no socket is not removed.
func TestListenSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(path); status.ReasonOf(err) != "provider.api_socket" {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}
