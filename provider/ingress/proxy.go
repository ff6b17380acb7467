package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"

	"apocryph/proto/problem"
)

const (
	// maxInFlight bounds the requests under way to one pod, upgraded
	// connections included, against an app that never answers.
	maxInFlight = 4096
	// maxHops bounds how often a request may come back here, against apps that
	// proxy to the host they are reached by.
	maxHops = 3
)

// route is where one host's requests go. It never changes.
type route struct {
	pod       *pod
	upstream  *upstream
	host      string
	container string
	target    uint16
}

// trip is one request on a route.
type trip struct {
	*route
	once sync.Once
	// body is nil for HTTP/2, which has flow control, and where there is none.
	body *pacedBody
	// expect is what the client wants to be answered by.
	expect expected
}

// headed notes that the response's header is here, or never will be.
func (t *trip) headed() { t.once.Do(t.upstream.unsent.leave) }

// end gives back the connections that the trip kept from closing.
func (t *trip) end() {
	t.headed()
	t.upstream.trips.leave()
	if t.upstream.retired.Load() {
		t.upstream.closeIdle()
	}
}

type tripKey struct{}

func tripOf(req *http.Request) *trip { return req.Context().Value(tripKey{}).(*trip) }

// pick finds a host's route and holds its upstream. It looks again when the
// upstream was replaced in between; the new one is in the table before that.
func (i *Ingress) pick(host string) *trip {
	for {
		r := (*i.routes.Load())[host]
		if r == nil {
			return nil
		}
		if r.upstream.unsent.enter() {
			if !r.upstream.trips.enter() {
				r.upstream.unsent.leave()
				continue
			}
			return &trip{route: r}
		}
	}
}

// ServeHTTP routes one request.
func (i *Ingress) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !i.requests.enter() {
		panic(http.ErrAbortHandler) // the connection is being closed
	}
	defer i.requests.leave()
	host, ok := parseHost(req.Host)
	if !ok {
		answer(w, req, http.StatusBadRequest, "the Host header is not a host name")
		return
	}
	if req.Method == http.MethodConnect {
		answer(w, req, http.StatusMethodNotAllowed, "this is no forward proxy")
		return
	}
	if i.serveMounted(w, req, host) || i.serveReserved(w, req, host) || i.serveChallenge(w, req, host) {
		return
	}
	expect, err := parseExpect(req.Header.Values(ExpectHeader))
	if err != nil {
		refuse(w, req, problem.HTTPStatus(err), err)
		return
	}
	r := i.pick(host)
	if r == nil {
		via, why, _ := i.aliased(host)
		if r = i.pick(via); r == nil {
			notServed(w, req, host, why)
			return
		}
	}
	defer r.end()
	r.expect = expect
	if i.hops(req) > maxHops {
		answer(w, req, http.StatusLoopDetected, fmt.Sprintf("app %s sends its requests back to itself", host))
		return
	}
	if r.pod.inFlight.Add(1) > maxInFlight {
		r.pod.inFlight.Add(-1)
		w.Header().Set("Retry-After", "1")
		answer(w, req, http.StatusServiceUnavailable, fmt.Sprintf("app %s has too many requests under way", host))
		return
	}
	defer r.pod.inFlight.Add(-1)
	if req.ProtoMajor == 1 && req.Body != nil && req.Body != http.NoBody {
		r.body = i.pace(w, req)
		defer r.body.finish()
		req.Body = r.body
	}
	i.proxy.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), tripKey{}, r)))
}

// hops counts how often a request was here (RFC 9110, 7.6.3).
func (i *Ingress) hops(req *http.Request) int {
	n := 0
	for _, line := range req.Header.Values("Via") {
		n += strings.Count(line, i.pseudonym)
	}
	return n
}

func (i *Ingress) newProxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:       i.rewrite,
		Transport:     routed{},
		FlushInterval: -1, // streams are passed as they come
		ModifyResponse: func(res *http.Response) error {
			tripOf(res.Request).body.early(res.Header)
			res.Header.Del(ownAnswer)
			return nil
		},
		ErrorLog:     slog.NewLogLogger(i.log.Handler(), slog.LevelDebug),
		ErrorHandler: i.unanswered,
	}
}

// routed sends a request to the upstream of its route.
type routed struct{}

func (routed) RoundTrip(req *http.Request) (*http.Response, error) {
	t := tripOf(req)
	defer t.headed()
	return t.upstream.send(t.route, t.expect, req)
}

// rewrite runs after ReverseProxy removed the hop-by-hop headers.
func (i *Ingress) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme = "http"
	p.Out.URL.Host = "backend" // upstream.send puts the replica here
	p.Out.Host = p.In.Host
	p.Out.URL.RawQuery = p.In.URL.RawQuery // the app decides what a valid query is
	for name := range p.Out.Header {
		// CGI-like servers (WSGI, Rack, PHP) read X_Forwarded_For as X-Forwarded-For.
		plain := strings.ReplaceAll(name, "_", "-")
		if identifies(plain) || strings.EqualFold(plain, ExpectHeader) {
			delete(p.Out.Header, name)
		}
	}
	p.SetXForwarded()
	if ip, _, err := net.SplitHostPort(p.In.RemoteAddr); err == nil {
		p.Out.Header.Set("X-Real-Ip", ip)
	}
	p.Out.Header.Add("Via", fmt.Sprintf("%d.%d %s", p.In.ProtoMajor, p.In.ProtoMinor, i.pseudonym))
}

// identifies reports whether a header says who the client is.
func identifies(name string) bool {
	name = strings.ToLower(name)
	return name == "forwarded" || name == "x-real-ip" || strings.HasPrefix(name, "x-forwarded-")
}

// unanswered answers for a backend that did not.
func (i *Ingress) unanswered(w http.ResponseWriter, req *http.Request, err error) {
	if req.Context().Err() != nil {
		return // the client is gone
	}
	r := tripOf(req)
	if other := new(misdirected); errors.As(err, &other) {
		r.body.early(w.Header())
		refuse(w, req, http.StatusMisdirectedRequest, other.problem(r.host))
		return
	}
	i.log.DebugContext(req.Context(), "backend did not answer", "pod", string(r.pod.id), "host", r.host, "error", err)
	why := *r.pod.reason.Load()
	switch {
	case why != "":
	case len(r.upstream.backends) == 0:
		why = "it is not running"
	case errors.Is(err, errRefused):
		why = fmt.Sprintf("container %s accepts no connection on port %d", r.container, r.target)
	default:
		why = fmt.Sprintf("container %s broke off the connection on port %d, or sent what is not HTTP", r.container, r.target)
	}
	r.body.early(w.Header())
	answer(w, req, http.StatusBadGateway, fmt.Sprintf("app %s is not answering: %s", r.host, why))
}
