package ingress

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRouting(t *testing.T) {
	i := run(t, nil)
	c := client(t, i, false)
	one, two := backend(t, "127.0.0.1", 0, text("one")), backend(t, "127.0.0.1", 0, text("two"))
	endpoints := assign(t, i, app(httpPort(one), httpPort(two)))
	wantAnswer(t, c, endpoints[0].URL, http.StatusBadGateway, "app "+shopHost+" is not answering: it is not running")
	i.Explain(podID, "it is starting")
	wantAnswer(t, c, endpoints[0].URL, http.StatusBadGateway, "is not answering: it is starting")
	publish(t, i, endpoints, "127.0.0.1")
	wantAnswer(t, c, endpoints[0].URL, http.StatusOK, "one")
	wantAnswer(t, c, endpoints[1].URL, http.StatusOK, "two")
	wantAnswer(t, c, "http://"+strings.ToUpper(shopHost)+".:1/", http.StatusOK, "one")
	for _, host := range []string{"other.localhost", "localhost", "127.0.0.1", "[::1]:80", "x." + shopHost} {
		wantAnswer(t, c, "http://"+host+"/", http.StatusNotFound, "no app is served")
	}
	i.Withdraw(podID)
	wantAnswer(t, c, endpoints[0].URL, http.StatusNotFound, "no app is served")
	i.Withdraw(podID)
	i.Explain(podID, "unknown pods are no error")
}

func TestWhyNotUp(t *testing.T) {
	i := run(t, nil)
	c := client(t, i, false)
	dead := backend(t, "127.0.0.1", 0, text("up"))
	// Nothing listens on 127.0.0.2 there.
	endpoints := assign(t, i, app(httpPort(dead)))
	publish(t, i, endpoints)
	wantAnswer(t, c, endpoints[0].URL, http.StatusBadGateway, "app "+shopHost+" is not answering: it is not running\n")
	publish(t, i, endpoints, "127.0.0.2")
	wantAnswer(t, c, endpoints[0].URL, http.StatusBadGateway, fmt.Sprintf("container web accepts no connection on port %d", dead))
	i.Explain(podID, "container web exited\nwith code 1")
	wantAnswer(t, c, endpoints[0].URL, http.StatusBadGateway, "is not answering: container web exited with code 1\n")

	code, body, header := get(t, c, endpoints[0].URL, "Accept", "text/html, application/json;q=0.9")
	var problem struct {
		Status        int
		Title, Detail string
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		t.Fatal(err)
	}
	if code != 502 || problem.Status != 502 || problem.Title != "Bad Gateway" ||
		problem.Detail != "app "+shopHost+" is not answering: container web exited with code 1" || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("problem %+v, header %v", problem, header)
	}

	publish(t, i, endpoints, "127.0.0.1")
	wantAnswer(t, c, endpoints[0].URL, http.StatusOK, "up")
	publish(t, i, endpoints, "127.0.0.2")
	wantAnswer(t, c, endpoints[0].URL, http.StatusBadGateway, "accepts no connection") // Publish ended the explanation
	i.Explain(podID, strings.Repeat("é", 1000))
	if _, body, _ := get(t, c, endpoints[0].URL); len(body) > maxReason+100 {
		t.Errorf("explanation of %d bytes", len(body))
	}
}

func TestBrokenBackend(t *testing.T) {
	i := run(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { _ = listener.Close() }()
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH\r\n"))
			_ = conn.Close()
		}
	})
	endpoints := assign(t, i, app(httpPort(uint16(listener.Addr().(*net.TCPAddr).Port))))
	publish(t, i, endpoints, "127.0.0.1")
	wantAnswer(t, client(t, i, false), endpoints[0].URL, http.StatusBadGateway, "broke off the connection")
}

func TestHeaders(t *testing.T) {
	i := run(t, nil)
	got := make(chan *http.Request, 1)
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))
	endpoints := assign(t, i, app(httpPort(port)))
	publish(t, i, endpoints, "127.0.0.1")
	conn, err := net.Dial("tcp", i.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /a%2Fb?x=1;y&z=%zz HTTP/1.1\r\nHost: "+shopHost+":8081\r\n"+
		"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\n"+
		"X_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nx_real_ip: 6.6.6.6\r\nX-Forwarded-Prefix: /x\r\nX_Forwarded-Custom: 1\r\nAccept_This: 1\r\n"+
		"Connection: close, X-Forwarded-For, X-Secret\r\nX-Secret: 1\r\nProxy-Connection: x\r\nKeep-Alive: 1\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.Host != shopHost+":8081" || r.RequestURI != "/a%2Fb?x=1;y&z=%zz" {
		t.Errorf("Host %s, URI %s", r.Host, r.RequestURI)
	}
	want := http.Header{
		"X-Forwarded-For":   {"127.0.0.1"},
		"X-Forwarded-Host":  {shopHost + ":8081"},
		"X-Forwarded-Proto": {"http"},
		"X-Real-Ip":         {"127.0.0.1"},
		"Via":               {"1.1 " + i.pseudonym},
		"Accept_this":       {"1"},
	}
	for name, values := range r.Header {
		if fmt.Sprint(want[name]) == "[]" {
			t.Errorf("header %s: %v got through", name, values)
		}
	}
	for name, values := range want {
		if fmt.Sprint(r.Header[name]) != fmt.Sprint(values) {
			t.Errorf("header %s: %v, want %v", name, r.Header[name], values)
		}
	}
}

// raw sends bytes and returns the status line.
func raw(t *testing.T, i *Ingress, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", i.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestBadRequests(t *testing.T) {
	i := run(t, nil)
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the backend was reached") }))
	publish(t, i, assign(t, i, app(httpPort(port))), "127.0.0.1")
	host := "Host: " + shopHost + "\r\n"
	for name, tc := range map[string]struct{ request, want string }{
		"no host":              {"GET / HTTP/1.1\r\n\r\n", " 400 "},
		"two hosts":            {"GET / HTTP/1.1\r\n" + host + host + "\r\n", " 400 "},
		"junk host":            {"GET / HTTP/1.1\r\nHost: a_b\r\n\r\n", " 400 "},
		"host of the target":   {"GET http://other.localhost/ HTTP/1.1\r\n" + host + "\r\n", " 404 "},
		"forward proxy":        {"CONNECT " + shopHost + ":80 HTTP/1.1\r\n" + host + "\r\n", " 405 "},
		"length and chunked":   {"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", " 400 "},
		"unknown coding":       {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n", " 501 "},
		"space before colon":   {"GET / HTTP/1.1\r\n" + host + "X-A : b\r\n\r\n", " 400 "},
		"bare line feed value": {"GET / HTTP/1.1\r\n" + host + "X-A: b\x00c\r\n\r\n", " 400 "},
		"header too large":     {"GET / HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("a", 2*maxHeader) + "\r\n\r\n", " 431 "},
	} {
		if line := raw(t, i, tc.request); !strings.Contains(line, tc.want) {
			t.Errorf("%s: got %q, want%s", name, line, tc.want)
		}
	}
}

// An app that proxies to its own host does not bring the ingress down.
func TestLoop(t *testing.T) {
	i := run(t, nil)
	c := client(t, i, false)
	var visits atomic.Int32
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Add(1)
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+r.Host+"/", nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header = r.Header.Clone()
		res, err := c.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = res.Body.Close() }()
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	endpoints := assign(t, i, app(httpPort(port)))
	publish(t, i, endpoints, "127.0.0.1")
	wantAnswer(t, c, endpoints[0].URL, http.StatusLoopDetected, "back to itself")
	if got := visits.Load(); got != maxHops+1 {
		t.Errorf("%d visits, want %d", got, maxHops+1)
	}
}

// An answer that begins before the body's end closes the connection, so that
// the rest of a body is never taken for a request.
func TestAnswerBeforeBody(t *testing.T) {
	i := run(t, nil)
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Errorf("a body was taken for the request %s", r.URL)
		}
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_ = http.NewResponseController(w).Flush()
	}))
	endpoints := assign(t, i, app(httpPort(port)))
	for _, backends := range [][]string{{"127.0.0.1"}, {"127.0.0.2"}, {}} {
		publish(t, i, endpoints, backends...)
		conn, err := net.Dial("tcp", i.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		smuggled := "GET /smuggled HTTP/1.1\r\nHost: " + shopHost + "\r\n\r\n"
		_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", shopHost, len(smuggled))
		if err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode < 400 || !res.Close {
			t.Errorf("backends %v: status %d, close %v", backends, res.StatusCode, res.Close)
		}
		_, _ = io.WriteString(conn, smuggled) // may be refused already
		rest, _ := io.ReadAll(reader)         // ends, by a reset or not
		if strings.Contains(string(rest), "HTTP/1.1") {
			t.Errorf("backends %v: answered twice: %q", backends, rest)
		}
		_ = conn.Close()
	}
}

func TestTooManyRequests(t *testing.T) {
	i := run(t, nil)
	endpoints := assign(t, i, app(httpPort(1)))
	publish(t, i, endpoints, "127.0.0.1")
	(*i.routes.Load())[shopHost].pod.inFlight.Store(maxInFlight)
	wantAnswer(t, client(t, i, false), endpoints[0].URL, http.StatusServiceUnavailable, "too many requests")
}

func TestRunRefusesBusyAddress(t *testing.T) {
	first := run(t, nil)
	cfg := testConfig()
	cfg.Listen = first.Addr().String()
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, second.Run(t.Context()), 9, cfg.Listen)
	if second.Addr() != nil {
		t.Error("has an address")
	}
}
