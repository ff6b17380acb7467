package publisher

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
)

// answerTimeout is how long a healthy app may take until it answers through
// the ingress.
const answerTimeout = 30 * time.Second

// ingressHeader marks what the ingress answered itself, without the app.
const ingressHeader = "Apocryph-Ingress"

// awaitAnswer returns when every TCP and HTTP endpoint answers from outside.
// Where it answers by HTTPS, it must be with the attested key.
func (s *Service) awaitAnswer(ctx context.Context, endpoints []Endpoint, tlsKey []byte, report func(Event)) error {
	timed, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for _, e := range endpoints {
		if e.Protocol == manifest.UDP {
			continue
		}
		start := time.Now()
		if err := answers(timed, e, tlsKey); err != nil {
			// A caller that gave up says nothing about the app.
			return cmp.Or(ctx.Err(), err)
		}
		report(Event{Event: "answer", Text: fmt.Sprintf("%s answered after %s", e.URL, time.Since(start).Round(time.Millisecond))})
	}
	return nil
}

func answers(ctx context.Context, e Endpoint, tlsKey []byte) error {
	delay := 10 * time.Millisecond
	var last error
	for {
		err := ask(ctx, e, tlsKey)
		if err == nil {
			return nil
		}
		// What was said while there was time tells more than that it is over.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		t := time.NewTimer(delay)
		delay = min(2*delay, time.Second)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return status.New(status.AppFailed, "app.unreachable", "%s does not answer: %v", e.URL, last).
				WithHint("the pod runs; is the provider's ingress reachable from here?")
		}
	}
}

// ask makes one request, to the dial address and with the URL's host: not
// every resolver knows the names under a provider's domain.
func ask(ctx context.Context, e Endpoint, tlsKey []byte) error {
	var d net.Dialer
	if e.Protocol != manifest.HTTP {
		conn, err := d.DialContext(ctx, "tcp", e.Dial)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return fmt.Errorf("the provider's url is no url: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
		// The evidence names the key; who signed its certificate adds nothing.
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
			VerifyConnection: func(c tls.ConnectionState) error {
				got := sha256.Sum256(c.PeerCertificates[0].RawSubjectPublicKeyInfo)
				if !bytes.Equal(got[:], tlsKey) {
					return fmt.Errorf("it speaks TLS with the key %x, the attested one is %x", got, tlsKey)
				}
				return nil
			},
		},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, e.Dial)
		},
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if why := resp.Header.Get(ingressHeader); why != "" {
		return fmt.Errorf("the ingress answers %d: %.200q", resp.StatusCode, why)
	}
	return nil
}
