package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"apocryph/proto/problem"
	"apocryph/proto/status"
)

// ExpectHeader names, in a request, the digest of the manifest that was
// verified. A provider answers 421 where another revision runs.
const ExpectHeader = "Apocryph-Expect"

// Transport is an [http.RoundTripper] that verifies who it sends to. Make one
// with [NewTransport]; its methods may be called concurrently. Requests for one
// origin share one verification.
//
// A verdict counts for requests that begin while it lasts; a response that is still
// being read when it expires is read to its end.
type Transport struct {
	verifier *Verifier
	options  TransportOptions
	flights  flights
}

// TransportOptions are what a [Transport] may be told. The zero value is strict.
type TransportOptions struct {
	// AllowHTTP sends to http:// URLs, too, whose evidence says nothing about the
	// connection: for programs that talk to a provider on their own machine.
	AllowHTTP bool
	// Verified is called after each verification that came to a report, with the
	// error that goes to those who wait for it. It may be called concurrently.
	Verified func(*Report, error)
}

// NewTransport returns a transport that trusts what the verifier affirms.
func NewTransport(v *Verifier, options TransportOptions) *Transport {
	t := &Transport{verifier: v, options: options}
	t.flights.verify = t.verify
	return t
}

// RoundTrip verifies the request's origin, unless a verdict about it still
// lasts, and sends the request over a connection that ends at the verified key.
//
// Errors before anything of the request was sent are those of [Verifier.Verify],
// and invalid_argument for a request that cannot be bound to evidence. After an
// answer 421 it is a [*RevisionError].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	o, err := t.accept(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	body := lend(req)
	for try := 1; ; try++ {
		s, err := t.flights.session(req.Context(), o, t.verifier.now)
		if err != nil {
			body.giveBack(true)
			return nil, err
		}
		resp, err := s.transport.RoundTrip(bound(req, s, body))
		var other *keyError
		if errors.As(err, &other) {
			t.flights.drop(o, s)
			next, ok := body.again(req)
			if ok && try < maxTries {
				body = next
				continue
			}
			err = status.Wrap(err, status.Untrusted, "client.key", "%s has another TLS key than the one verified", o).
				WithHint("send the request again: the key is verified first")
		}
		body.giveBack(err != nil)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusMisdirectedRequest {
			t.flights.drop(o, s)
			return nil, revisionError(o, s.report.Manifest(), resp)
		}
		return resp, nil
	}
}

// maxTries is how often a request goes out: the key may have changed since the
// verdict, but not each time.
const maxTries = 2

// accept refuses requests whose bytes would go where the evidence says nothing.
func (t *Transport) accept(req *http.Request) (origin, error) {
	if req.URL == nil {
		return origin{}, status.New(status.InvalidArgument, "client.url", "url: got nothing, want https://HOST")
	}
	bad := func(field, got, want string) error {
		return status.Invalid("client.url", "url", []status.Fault{{Field: field, Got: got, Want: want}})
	}
	u := *req.URL
	u.User = nil // it goes into a header, encrypted with the rest
	o, err := originOf(&u, bad)
	if err != nil {
		return o, err
	}
	if o.scheme == "http" && !t.options.AllowHTTP {
		return o, status.New(status.Untrusted, "client.plain", "%s is not encrypted, so nothing keeps what is sent from whoever sits in between", o).
			WithHint("use https://")
	}
	if req.Host != "" && !sameHost(req.Host, req.URL.Host) {
		return o, status.New(status.InvalidArgument, "client.host", "host: got %.80q, want that of the url, %.80q: evidence is for one host", req.Host, req.URL.Host)
	}
	return o, nil
}

func sameHost(a, b string) bool { return normalHost(a) == normalHost(b) }

// verify makes a session: it runs once for all who wait for an origin.
func (t *Transport) verify(ctx context.Context, o origin, old *session) (*session, error) {
	r, err := t.verifier.Verify(ctx, o.String())
	if t.options.Verified != nil && r != nil {
		t.options.Verified(r, err)
	}
	if err != nil {
		return nil, err
	}
	s := &session{report: r}
	if old != nil && string(old.report.TLSKey) == string(r.TLSKey) {
		s.transport = old.transport
		return s, nil
	}
	key := r.TLSKey
	s.transport = t.verifier.transport(func(got []byte) error {
		if string(got) != string(key) {
			return &keyError{got: got, want: key}
		}
		return nil
	})
	return s, nil
}

// CloseIdleConnections closes connections that no request uses. Verdicts stay.
func (t *Transport) CloseIdleConnections() { t.flights.closeIdle() }

// bound is the request as it is sent: a copy, since a RoundTripper must not
// change what it is given.
func bound(req *http.Request, s *session, body *lentBody) *http.Request {
	out := req.Clone(req.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Set(ExpectHeader, s.report.Manifest())
	if body != nil {
		out.Body = body
	}
	return out
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		// Nobody waits for what a body has to say at its end.
		_ = req.Body.Close()
	}
}

// RevisionError says that another revision of the app runs than the one that
// was verified; the request was not served. The next request verifies again. It is
// a [status.Error] of class conflict, reason "client.revision".
type RevisionError struct {
	// Origin is scheme, host and port, Expected the digest of the manifest that the
	// request was for.
	Origin, Expected string
	// Detail is what the server said.
	Detail string
}

func revisionError(o origin, expected string, resp *http.Response) error {
	defer resp.Body.Close()
	e := &RevisionError{Origin: o.String(), Expected: expected}
	if p := status.Public(problem.Read(resp)); p != nil {
		e.Detail = p.Detail
	}
	return e
}

// Error says which revision was expected.
func (e *RevisionError) Error() string {
	return fmt.Sprintf("%s runs another revision than %s: %s", e.Origin, e.Expected, orNothing(e.Detail))
}

// Unwrap returns the [status.Error].
func (e *RevisionError) Unwrap() error {
	return status.New(status.Conflict, "client.revision", "%s", e.Error()).WithHint("send the request again if the app's new revision may have it, too")
}
