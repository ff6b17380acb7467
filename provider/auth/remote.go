package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// remoteTimeout bounds one request to an issuer, body included.
	remoteTimeout = 5 * time.Second
	// maxRemoteHeader bounds an issuer's header, in bytes.
	maxRemoteHeader = 32 << 10
)

// get is one GET of at most limit bytes. Errors name neither URL nor header.
func get(ctx context.Context, client *http.Client, target string, header http.Header, limit int64) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, nil, errors.New("the URL cannot be asked")
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking: %w", inner(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer: %w", inner(err))
	}
	if int64(len(body)) > limit {
		return 0, nil, fmt.Errorf("the answer is larger than %d bytes", limit)
	}
	return resp.StatusCode, body, nil
}

// inner leaves out the URL that net/http adds: its query may hold a key.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// strict is a client that follows no redirect, since who answers for an issuer
// is configured and not the answer's to decide, keeps no cookie, and ends.
func strict(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: remoteTimeout}).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    remoteTimeout,
			ResponseHeaderTimeout:  remoteTimeout,
			IdleConnTimeout:        time.Minute,
			MaxIdleConnsPerHost:    2,
			MaxResponseHeaderBytes: maxRemoteHeader,
		}}
	}
	return &http.Client{
		Transport:     c.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       remoteTimeout,
	}
}
