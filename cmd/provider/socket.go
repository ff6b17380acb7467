package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"apocryph/proto/problem"
	"apocryph/proto/status"
)

const (
	// socketTimeout bounds one question to the provider on this machine.
	socketTimeout = 30 * time.Second
	// maxAnswer bounds its answer, in bytes; a pod is about a kilobyte.
	maxAnswer = 64 << 20
)

// askSocket asks the provider on this machine, as its operator. body is sent as
// JSON unless it is nil.
func askSocket(ctx context.Context, socket, method, path string, body any) ([]byte, error) {
	client := http.Client{Timeout: socketTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	if body == nil {
		raw = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://provider"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, noAnswer(err, socket)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, problem.Read(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("got more than %d bytes", maxAnswer)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the provider's answer: %w", err)
	}
	return b, nil
}

// noAnswer says what the socket's error means; its own text names a URL that
// nobody typed.
func noAnswer(err error, socket string) error {
	if errors.Is(err, fs.ErrPermission) {
		return status.New(status.PermissionDenied, "provider.socket", "%s may not be used by this user", socket).
			WithHint("run it as the user that runs the provider, usually root")
	}
	why := "it does not answer"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "there is no socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nobody listens"
	case errors.Is(err, context.Canceled):
		return err
	}
	return status.New(status.Unavailable, "provider.not_running", "no provider answers on %s: %s", socket, why).
		WithHint("is it running, and with this --data-dir?")
}
