package static

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is a log that several goroutines write to.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

// TestServe: a request that is under way when the end is asked for gets its
// answer, later ones get no connection, and the log has no query string.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var log lines
	here, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(here)
		<-goOn
		_, _ = io.WriteString(w, "late")
	})
	go func() { ended <- Serve(ctx, l, h, &log) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer := make(chan string, 1)
	go func() {
		resp, err := client.Get("http://" + l.Addr().String() + "/p%0Aq?token=SECRET")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-here
	stop()
	for {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
	}
	close(goOn)
	if got := <-answer; got != "late" {
		t.Errorf("got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.HasPrefix(got, `GET "/p\nq" 200 4 `) || strings.Contains(got, "SECRET") || strings.Count(got, "\n") != 1 {
		t.Errorf("log: %q", got)
	}
}
