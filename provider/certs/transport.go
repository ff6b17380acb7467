package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// requestTimeout bounds one request to the authority, its body included.
	requestTimeout = 30 * time.Second
	// maxBody bounds an answer in bytes: orders and chains are a few KiB, and the
	// decoders behind read whatever comes.
	maxBody = 256 << 10
	// maxRetries is how often a request that the authority could not take now is
	// sent again, and maxPause how long the pause before may be.
	maxRetries = 3
	maxPause   = 10 * time.Second
)

var (
	errBody  = fmt.Errorf("the authority's answer has more than %d bytes", maxBody)
	errPlain = errors.New("the authority names a URL that is not https")
)

// newTransport speaks to the authority. roots nil means the system's.
func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    requestTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           2,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
	}
}

// bounded sends over TLS only, whatever URLs the authority names, and ends
// answers that are too long.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, errPlain
	}
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = &shortBody{ReadCloser: res.Body, left: maxBody}
	return res, nil
}

// shortBody is an error, not an end, after its bound.
type shortBody struct {
	io.ReadCloser
	left int
}

func (s *shortBody) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, errBody
	}
	n, err := s.ReadCloser.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// noRedirects keeps signed requests where they were sent to.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// pause is before the nth retry; 0 gives up.
func pause(n int, _ *http.Request, _ *http.Response) time.Duration {
	if n > maxRetries {
		return 0
	}
	return min(maxPause, time.Second<<(n-1))
}
