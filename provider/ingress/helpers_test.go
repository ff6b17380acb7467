package ingress

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	publisher = provider.PublisherID("12D3KooWA")
	podID     = provider.PodID("pod-a")
	shopHost  = "shop-m67ermot.localhost"
)

// patience ends a test that would hang.
const patience = 20 * time.Second

func testConfig() Config {
	return Config{
		Listen: "127.0.0.1:0", Domain: "localhost", Ports: [2]uint16{32000, 32700},
		Advertise: netip.MustParseAddr("127.0.0.1"), Drain: 10 * time.Second,
	}
}

// newIngress is not running; the port is such that Assign works.
func newIngress(t *testing.T, change func(*Config)) *Ingress {
	t.Helper()
	cfg := testConfig()
	cfg.Listen = "127.0.0.1:8081"
	if change != nil {
		change(&cfg)
	}
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// run serves an ingress on a free port until the test ends.
func run(t *testing.T, change func(*Config)) *Ingress {
	t.Helper()
	i, stop := start(t, change)
	t.Cleanup(stop)
	return i
}

// start serves an ingress until stop is called, which waits for its end.
func start(t *testing.T, change func(*Config)) (i *Ingress, stop func()) {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	select {
	case <-i.Ready():
	case err := <-done:
		cancel()
		t.Fatalf("Run: %v", err)
	}
	return i, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func app(ports ...manifest.Port) *manifest.Manifest {
	return &manifest.Manifest{Name: "shop", Containers: []manifest.Container{{Name: "web", Ports: ports}}}
}

func httpPort(target uint16) manifest.Port {
	return manifest.Port{TargetPort: target, Protocol: manifest.HTTP}
}

func assign(t *testing.T, i *Ingress, m *manifest.Manifest) []provider.Endpoint {
	t.Helper()
	endpoints, err := i.Assign(publisher, podID, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return endpoints
}

func publish(t *testing.T, i *Ingress, endpoints []provider.Endpoint, backends ...string) {
	t.Helper()
	if err := i.Publish(podID, endpoints, at(backends...)); err != nil {
		t.Fatal(err)
	}
}

// at are backends of which nothing is known but where they are.
func at(addrs ...string) []provider.Backend {
	var out []provider.Backend
	for _, a := range addrs {
		out = append(out, provider.Backend{Addr: a})
	}
	return out
}

// backend serves h on a loopback address of its own; the port is returned.
func backend(t *testing.T, ip string, port uint16, h http.Handler) uint16 {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	_ = server.Listener.Close() // replaced
	listener, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr(ip), port).String())
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Start()
	t.Cleanup(server.Close)
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

// client sends every request to the ingress, whatever its host.
func client(t *testing.T, i *Ingress, h2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, i.Addr().String())
		},
	}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t *testing.T, c *http.Client, url string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

func wantAnswer(t *testing.T, c *http.Client, url string, code int, contains string) {
	t.Helper()
	got, body, _ := get(t, c, url)
	if got != code || !strings.Contains(body, contains) {
		t.Errorf("GET %s: %d %q, want %d with %q", url, got, body, code, contains)
	}
}

func wantCode(t *testing.T, err error, code status.Code, contains ...string) {
	t.Helper()
	var texts strings.Builder
	if err != nil {
		texts.WriteString(err.Error())
	}
	for _, f := range faultsOf(err) {
		texts.WriteString("\n" + f.String())
	}
	if status.CodeOf(err) != code {
		t.Fatalf("got %v (%v), want %v", status.CodeOf(err), err, code)
	}
	for _, c := range contains {
		if !strings.Contains(texts.String(), c) {
			t.Errorf("error lacks %q:\n%s", c, &texts)
		}
	}
}

func testConfigLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
