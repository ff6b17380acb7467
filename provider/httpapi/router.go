package httpapi

import (
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/uuid"

	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider/auth"
)

// router makes a handler for each path, which picks the method. Methods are not
// in the patterns: net/http's own 404 and 405 are no problem documents.
func (a *API) router() *http.ServeMux {
	mux := http.NewServeMux()
	paths := map[string]map[string]*operation{}
	for i := range a.ops {
		op := &a.ops[i]
		if paths[op.path] == nil {
			paths[op.path] = map[string]*operation{}
		}
		paths[op.path][op.method] = op
	}
	for p, methods := range paths {
		mux.Handle(p, a.byMethod(methods))
	}
	return mux
}

func (a *API) byMethod(methods map[string]*operation) http.Handler {
	allowed := []string{http.MethodOptions}
	for m := range methods {
		allowed = append(allowed, m)
	}
	if _, ok := methods[http.MethodGet]; ok && methods[http.MethodHead] == nil {
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	allowed = slices.Compact(allowed)
	allow := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := methods[r.Method]
		if op == nil && r.Method == http.MethodHead {
			op = methods[http.MethodGet]
		}
		switch {
		case op != nil:
			a.run(w.(*writer), r, op)
		case r.Method == http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", allow)
			err := status.New(status.Unimplemented, "route.method", "this route does not have the method")
			a.refuse(w, r, &answerError{err: err.WithHint("it has %s", allow), code: http.StatusMethodNotAllowed})
		}
	})
}

// ServeHTTP answers one request, on whichever listener it came.
func (a *API) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &writer{ResponseWriter: rw}
	h := w.Header()
	h.Set(problem.RequestIDHeader, requestID(r))
	h.Set("Cache-Control", "no-store")
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		// A stranger may be able to cause it at will, but it is this program's fault.
		a.log.Error("a handler panicked", "method", r.Method, "route", r.Pattern, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		if w.code != 0 {
			panic(http.ErrAbortHandler)
		}
		a.refuse(w, r, status.New(status.Internal, "internal", "internal error"))
	}()
	if done := a.cors(w, r); done {
		return
	}
	// Not cleaned by a redirect: a POST would come back as GET, without its body.
	if clean := path.Clean(r.URL.Path); r.URL.Path == "" || clean != r.URL.Path && clean+"/" != r.URL.Path {
		a.refuse(w, r, unknownRoute())
		return
	}
	if _, pattern := a.routes.Handler(r); pattern == "" {
		a.refuse(w, r, unknownRoute())
		return
	}
	a.routes.ServeHTTP(w, r)
}

func unknownRoute() error {
	return status.New(status.NotFound, "route.unknown", "there is no such route").WithHint("GET /openapi.json lists them, GET /docs shows them to people")
}

// run authenticates and calls the operation's handler.
func (a *API) run(w *writer, r *http.Request, op *operation) {
	c := &call{api: a, w: w, r: r, op: op}
	err := a.admit(c)
	if err == nil {
		err = a.attempt(c)
	}
	if err != nil {
		a.refuse(w, r, err)
	}
}

// admit says who calls, and whether this route is for that caller.
func (a *API) admit(c *call) error {
	switch c.op.access {
	case everybody:
		return nil
	case readers:
		if a.auth.Configured() {
			return nil
		}
		_, err := a.auth.Authenticate(c.ctx(), c.r)
		return err
	}
	p, err := a.auth.Authenticate(c.ctx(), c.r)
	if err != nil {
		return err
	}
	c.caller = p
	if c.op.access == callers {
		return nil // the handler knows in which namespace
	}
	return p.MustOperate()
}

// requestID is the caller's name for the request where it is one, else a new one.
// It goes to logs and headers, so that it is short and has no surprises.
func requestID(r *http.Request) string {
	const most = 64
	id := r.Header.Get(problem.RequestIDHeader)
	if id == "" || len(id) > most || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return uuid.NewString()
	}
	return id
}

// challenge is for a caller who may come back with a token.
func challenge(h http.Header, err error) {
	if text := auth.Challenge(err); text != "" {
		h.Set("WWW-Authenticate", text)
	}
}
