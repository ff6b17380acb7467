package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"apocryph/provider/httpapi"
)

// TestSlowUploadIsRefusedAtOnce: who finds no room is told before the body is
// here, also where it is so short that net/http would read it to its end.
func TestSlowUploadIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Limits.Uploads = 4 })
	token := w.token("deploy:default")
	// send begins a deploy of so many bytes and returns what answers.
	send := func(size int, header string) *bufio.Reader {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		// Far below the time that a body may take.
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "POST /deploy HTTP/1.1\r\nHost: p\r\n%s\r\n"+
			"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n%s\r\n", token, size, header)
		if err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn)
	}
	// The first is received: this says so.
	if line, err := send(1000, "Expect: 100-continue\r\n").ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	for _, size := range []int{100, 64 << 10, 1 << 30} {
		res, err := http.ReadResponse(send(size, ""), nil)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !res.Close {
			t.Errorf("%d bytes: got %s %v", size, res.Status, res.Header)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFormThatEndsEarly: a body of the length that it says, but without the form's
// end, is the caller's fault.
func TestFormThatEndsEarly(t *testing.T) {
	w := newWorld(t)
	for _, part := range []string{"name=\"manifest\"", "name=\"files\"; filename=\"a\""} {
		w.call("POST", "/deploy", "--x\r\nContent-Disposition: form-data; "+part+"\r\n\r\ntext", "Content-Type: multipart/form-data; boundary=x").problem(t, 400, "deploy.form")
	}
}

// TestReaderUploadsNothing: a token that may deploy nowhere has no file of its received,
// where the manifest, which may come last, would say what for.
func TestReaderUploadsNothing(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/deploy", "/deploy?namespace=other"} {
		for _, held := range [][]string{{"read:default"}, {"read:default", "read:other"}} {
			body, in := io.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.addr+path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			name, value, _ := strings.Cut(w.token(held...), ": ")
			req.Header.Set(name, value)
			go func() {
				_, _ = io.WriteString(in, "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\n")
				for err := error(nil); err == nil; {
					_, err = in.Write(make([]byte, 1<<10)) // without end
				}
			}()
			resp, err := w.tcp.Do(req)
			if err != nil {
				t.Fatalf("%s with %v: %v", path, held, err)
			}
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "auth.scope") {
				t.Errorf("%s with %v: got %s %s", path, held, resp.Status, text)
			}
			_ = resp.Body.Close()
			_ = in.CloseWithError(io.ErrClosedPipe)
			cancel()
		}
	}
}
