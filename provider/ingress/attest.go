package ingress

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"apocryph/attest"
	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// reserved is the part of every app's paths that never reaches the app: what
	// is answered there must be known to be the provider's.
	reserved = "/.well-known/apocryph"
	// maxActivate bounds the body of an activation, in bytes: two values of at
	// most a KiB in base64.
	maxActivate = 8 << 10
	// maxQuery bounds the query of a challenge, in bytes.
	maxQuery = 1 << 10
)

// Attester makes evidence for the users of apps.
type Attester interface {
	AttestEndpoint(ctx context.Context, pod provider.PodID, host string, nonce [attest.NonceSize]byte) (*attest.Endpoint, error)
	ActivateEndpoint(ctx context.Context, a attest.Activate) (attest.Activated, error)
}

// Attend says who makes evidence. Until then, its path answers 503.
func (i *Ingress) Attend(a Attester) { i.attester.Store(&a) }

// serveReserved answers what is not for the app, and reports whether it did.
func (i *Ingress) serveReserved(w http.ResponseWriter, req *http.Request, host string) bool {
	// Apps that clean paths must not be reached by a detour either.
	clean := path.Clean("/" + req.URL.Path)
	if clean != reserved && !strings.HasPrefix(clean, reserved+"/") {
		return false
	}
	i.serveEvidence(w, req, host)
	return true
}

// serveEvidence speaks the protocol of endpoints (proto/README.md).
func (i *Ingress) serveEvidence(w http.ResponseWriter, req *http.Request, host string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	// Evidence is public and no cookie has a part in it: a page or an extension
	// of a browser may verify.
	h.Set("Access-Control-Allow-Origin", "*")
	fail := func(err error) { refuse(w, req, problem.HTTPStatus(err), err) }
	if req.URL.Path != attest.EndpointPath {
		fail(status.New(status.NotFound, "endpoint.path", "there is nothing at this path, which is reserved").
			WithHint("evidence is at %s", attest.EndpointPath))
		return
	}
	if req.Method != http.MethodGet && req.Method != http.MethodPost {
		h.Set("Allow", "GET, POST")
		refuse(w, req, http.StatusMethodNotAllowed, status.New(status.Unimplemented, "endpoint.method", "method %.16q, want GET or POST", req.Method))
		return
	}
	r := (*i.routes.Load())[host]
	if r == nil {
		fail(status.New(status.NotFound, "endpoint.host", "no app is served as %s here", host).
			WithHint("check the host name"))
		return
	}
	attester := i.attester.Load()
	if attester == nil {
		fail(status.New(status.Unavailable, "endpoint.starting", "this provider is starting").WithRetryAfter(retryStart))
		return
	}
	// Whoever asks badly takes no turn.
	work, err := i.evidenceWork(*attester, w, req, r.pod.id, host)
	if err != nil {
		fail(err)
		return
	}
	leave, err := i.turns.enter(req.Context(), clientOf(req))
	if err != nil {
		fail(err)
		return
	}
	body, err := work(req.Context())
	leave()
	if err != nil {
		fail(err)
		return
	}
	h.Set("Content-Type", attest.EndpointType)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // the client may be gone
}

// evidenceWork reads a request; what it returns makes the answer.
func (i *Ingress) evidenceWork(a Attester, w http.ResponseWriter, req *http.Request, pod provider.PodID, host string) (func(context.Context) ([]byte, error), error) {
	if req.Method == http.MethodPost {
		b, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxActivate))
		if err != nil {
			return nil, err
		}
		in, err := attest.DecodeActivate(b)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) ([]byte, error) {
			out, err := a.ActivateEndpoint(ctx, *in)
			if err != nil {
				return nil, err
			}
			return out.Encode()
		}, nil
	}
	nonce, err := parseNonce(req.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		out, err := a.AttestEndpoint(ctx, pod, host, nonce)
		if err != nil {
			return nil, err
		}
		return out.Encode()
	}, nil
}

// parseNonce reads the query of a challenge: one nonce of 64 hex digits. Zeros
// are refused: whoever sends them forgot to draw one.
func parseNonce(query string) (nonce [attest.NonceSize]byte, err error) {
	bad := func(got string) error {
		return status.Invalid("endpoint.nonce", "the query", []status.Fault{{Field: "nonce", Got: got, Want: "64 hex digits, once, new for each request"}}).
			WithHint("for instance nonce=$(openssl rand -hex 32)")
	}
	if len(query) > maxQuery {
		return nonce, bad("a long query")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nonce, bad("what is no query")
	}
	switch given := values["nonce"]; {
	case len(given) == 0:
		return nonce, bad("nothing")
	case len(given) > 1:
		return nonce, bad("several")
	case len(given[0]) != hex.EncodedLen(len(nonce)):
		return nonce, bad(strconv.Itoa(len(given[0])) + " characters")
	default:
		if _, err := hex.Decode(nonce[:], []byte(given[0])); err != nil {
			return nonce, bad("what is not hex")
		}
	}
	if nonce == [attest.NonceSize]byte{} {
		return nonce, bad("zeros")
	}
	return nonce, nil
}

// clientOf is what counts as one client, see sourceOf. Here clients on this
// machine count, too: behind a terminator of TLS the evidence is worth little.
func clientOf(req *http.Request) string {
	addr, err := net.ResolveTCPAddr("tcp", req.RemoteAddr)
	if err != nil {
		return ""
	}
	if source := sourceOf(addr); source.IsValid() {
		return source.String()
	}
	return addr.IP.String()
}
