package ingress

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

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
