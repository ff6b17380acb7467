package ingress

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"
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

// A replica that accepts nothing is passed over, also for a body that can be
// sent only once.
func TestReplicas(t *testing.T) {
	i := run(t, nil)
	echo := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, name)
			_, _ = io.Copy(w, r.Body)
		})
	}
	port := backend(t, "127.0.0.1", 0, echo("a"))
	backend(t, "127.0.0.2", port, echo("b"))
	endpoints := assign(t, i, app(httpPort(port)))
	publish(t, i, endpoints, "127.0.0.1", "127.0.0.2")
	c := client(t, i, false)
	var seen strings.Builder
	for range 4 {
		_, body, _ := get(t, c, endpoints[0].URL)
		seen.WriteString(body)
	}
	if seen.String() != "abab" && seen.String() != "baba" {
		t.Errorf("replicas answered %s, want them in turn", &seen)
	}
	publish(t, i, endpoints, "127.0.0.3", "127.0.0.2")
	for range 4 {
		res, err := c.Post(endpoints[0].URL, "text/plain", io.LimitReader(strings.NewReader("-body"), 100))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || string(body) != "b-body" {
			t.Errorf("got %d %q, %v, want b-body", res.StatusCode, body, err)
		}
	}
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

func TestWebSocket(t *testing.T) {
	i, stop := start(t, nil)
	port := backend(t, "127.0.0.1", 0, websocket.Handler(func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }))
	endpoints := assign(t, i, app(httpPort(port)))
	publish(t, i, endpoints, "127.0.0.1")
	dialWS := func() *websocket.Conn {
		conn, err := net.Dial("tcp", i.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		config, err := websocket.NewConfig("ws://"+shopHost+"/echo", "http://"+shopHost)
		if err != nil {
			t.Fatal(err)
		}
		ws, err := websocket.NewClient(config, conn)
		if err != nil {
			t.Fatal(err)
		}
		return ws
	}
	ws := dialWS()
	for _, message := range []string{"hello", strings.Repeat("x", 100_000)} {
		if err := websocket.Message.Send(ws, message); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(message))
		if _, err := io.ReadFull(ws, got); err != nil || string(got) != message {
			t.Fatalf("got %.40q, %v", got, err)
		}
	}
	if err := ws.Close(); err != nil {
		t.Fatal(err)
	}
	// One that is open at the end is closed by Run.
	open := dialWS()
	defer func() { _ = open.Close() }()
	stop()
	var got string
	if err := websocket.Message.Receive(open, &got); err == nil {
		t.Errorf("still open, got %q", got)
	}
}

func TestStreaming(t *testing.T) {
	i := run(t, nil)
	step := make(chan struct{})
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Echo the request body line by line while it still arrives.
		if r.Method == http.MethodPost {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				_, _ = fmt.Fprintln(w, lines.Text())
				_ = rc.Flush()
			}
			return
		}
		if r.Method != http.MethodGet {
			return // the ingress asks for HTTP/2, and Go passes the preface on as a request
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			<-step
		}
	}))
	endpoints := assign(t, i, app(httpPort(port)))
	publish(t, i, endpoints, "127.0.0.1")
	for _, h2 := range []bool{false, true} {
		res, err := client(t, i, h2).Get(endpoints[0].URL)
		if err != nil {
			t.Fatal(err)
		}
		events := bufio.NewReader(res.Body)
		for n := range 3 {
			// Each event is read before the app may go on to the next.
			line, err := events.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", n) {
				t.Fatalf("event %q, %v", line, err)
			}
			if _, err := events.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			step <- struct{}{}
		}
		_ = res.Body.Close()
	}
	reader, writer := io.Pipe()
	res := make(chan *http.Response, 1)
	go func() {
		r, err := client(t, i, true).Post(endpoints[0].URL, "text/plain", reader)
		if err != nil {
			t.Error(err)
		}
		res <- r
	}()
	if _, err := io.WriteString(writer, "one\n"); err != nil {
		t.Fatal(err)
	}
	r := <-res
	lines := bufio.NewReader(r.Body)
	for _, want := range []string{"one\n", "two\n"} {
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
		if want == "one\n" {
			if _, err := io.WriteString(writer, "two\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = writer.Close()
	_ = r.Body.Close()
}

// An HTTP/1 client gets the answer to the first part of its body before it
// sends the second.
func TestFullDuplex(t *testing.T) {
	i := run(t, nil)
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			_, _ = fmt.Fprintln(w, lines.Text())
			_ = rc.Flush()
		}
	}))
	publish(t, i, assign(t, i, app(httpPort(port))), "127.0.0.1")
	conn, err := net.Dial("tcp", i.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+shopHost+"\r\nContent-Length: 8\r\n\r\none\n")
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for _, want := range []string{"one\n", "two\n"} {
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
		if want == "one\n" {
			if _, err := io.WriteString(conn, "two\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// h2cBackend speaks HTTP/2 too and says which version it was asked in.
func h2cBackend(t *testing.T) uint16 {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = fmt.Fprintf(w, "%s te=%s", r.Proto, r.Header.Get("Te"))
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", "late")
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return uint16(server.Listener.Addr().(*net.TCPAddr).Port)
}

func TestHTTP2(t *testing.T) {
	i := run(t, nil)
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	endpoints := assign(t, i, app(httpPort(h2cBackend(t)), httpPort(backend(t, "127.0.0.1", 0, plain))))
	publish(t, i, endpoints, "127.0.0.1")
	for _, tc := range []struct {
		h2       bool
		endpoint int
		want     string
	}{
		{false, 0, "HTTP/1.1 te="}, {true, 0, "HTTP/2.0 te="}, {false, 1, "HTTP/1.1"}, {true, 1, "HTTP/1.1"}, {true, 1, "HTTP/1.1"},
	} {
		wantAnswer(t, client(t, i, tc.h2), endpoints[tc.endpoint].URL, http.StatusOK, tc.want)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoints[0].URL, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	res, err := client(t, i, true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "HTTP/2.0 te=trailers" || res.Trailer.Get("Grpc-Status") != "0" || res.Trailer.Get("Grpc-Message") != "late" {
		t.Errorf("body %q, %v, trailers %v", body, err, res.Trailer)
	}
	// gRPC to an app that speaks no HTTP/2 is an error, not a hang.
	req.URL.Host = endpoints[1].Host
	req.Host, req.Body = endpoints[1].Host, io.NopCloser(strings.NewReader("x"))
	wrong, err := client(t, i, true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = wrong.Body.Close()
	if wrong.StatusCode != http.StatusBadGateway {
		t.Errorf("gRPC to HTTP/1: %d", wrong.StatusCode)
	}
}

func TestLargeBodies(t *testing.T) {
	i := run(t, nil)
	port := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}))
	endpoints := assign(t, i, app(httpPort(port)))
	publish(t, i, endpoints, "127.0.0.1")
	const size = 32 << 20
	for _, h2 := range []bool{false, true} {
		res, err := client(t, i, h2).Post(endpoints[0].URL, "application/octet-stream", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if n != size || err != nil {
			t.Errorf("h2 %v: %d bytes, %v", h2, n, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Backends are replaced again and again under load, each old one is stopped
// after its last answer: no request is lost.
func TestSwitchWithoutLoss(t *testing.T) {
	i := run(t, nil)
	first := backend(t, "127.0.0.1", 0, text("0"))
	endpoints := assign(t, i, app(httpPort(first)))
	publish(t, i, endpoints, "127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	var clients, servers sync.WaitGroup
	var served atomic.Int64
	for n := range 8 {
		c := client(t, i, n%2 == 0)
		clients.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequest(http.MethodPost, endpoints[0].URL, strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				res, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK || err != nil {
					t.Errorf("lost a request: %d, %v", res.StatusCode, err)
				}
				served.Add(1)
			}
		})
	}
	var old *http.Server
	for n := range 10 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.1.%d:%d", n+1, first))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: text(fmt.Sprint(n))}
		servers.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		publish(t, i, endpoints, fmt.Sprintf("127.0.1.%d", n+1))
		if old != nil {
			if err := old.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		old = server
		for goal := served.Load() + 50; served.Load() < goal && !t.Failed(); {
			get(t, client(t, i, false), endpoints[0].URL)
		}
	}
	cancel()
	clients.Wait()
	if err := old.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	servers.Wait()
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
