package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"apocryph/manifest/direct"
	"apocryph/proto/status"
	"apocryph/provider/auth"
)

// call is one request on its way through a handler.
type call struct {
	api *API
	w   *writer
	r   *http.Request
	op  *operation
	// caller is the zero principal for a route that is for everybody.
	caller auth.Principal
	// done is the code of an answer with a deployment that succeeded, 201 where it is 0.
	done int
	// attempt is nil without an Idempotency-Key.
	attempt *attempt
}

func (c *call) ctx() context.Context { return c.r.Context() }

// patient lets the call wait: what was to be read is read, and from here on each
// write has its own time. A deadline for reading that passes would end the call,
// since net/http reads on to notice a caller who leaves.
func (c *call) patient() {
	rc := http.NewResponseController(c.w)
	// Not every connection has deadlines, a test's recorder for one.
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
	c.w.patient = true
}

// json answers with a value.
func (c *call) json(code int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(code)
	_, _ = c.w.Write(append(b, '\n')) // the caller may be gone; nobody to tell
	return nil
}

// everywhere is the namespace argument that finds an object in any namespace.
const everywhere = auth.Everywhere

// namespaces are those that the caller holds scopes in; nil for every one.
func (c *call) namespaces() []string {
	if c.caller.Operator {
		return nil
	}
	list := []string{}
	for _, s := range c.caller.Scopes {
		if s.Namespace == everywhere {
			return nil
		}
		if !slices.Contains(list, s.Namespace) {
			list = append(list, s.Namespace)
		}
	}
	return list
}

// find looks for an object wherever the caller may read. What is elsewhere is
// not found, whether it exists or not; what may be read but not changed is denied.
func find[T any](c *call, action auth.Action, look func(namespace string) (T, error), namespaceOf func(T) string) (T, error) {
	list := c.namespaces()
	if list == nil {
		list = []string{everywhere}
	}
	var zero T
	var err error = status.New(status.NotFound, "api.unknown", "there is no such object")
	for _, ns := range list {
		var v T
		v, err = look(ns)
		switch {
		case err == nil:
			if err := c.caller.May(namespaceOf(v), action); err != nil {
				return zero, err
			}
			return v, nil
		case status.CodeOf(err) != status.NotFound:
			return zero, err
		}
	}
	return zero, err
}

// place is the namespace that a call makes something in: the one it names, in its
// body or in the query, else the one that its token has, else "default".
func (c *call) place(named string) (string, error) {
	asked := c.r.URL.Query().Get("namespace")
	if named != "" && asked != "" && asked != named {
		return "", status.Invalid("api.namespace", "namespace", []status.Fault{{Field: "namespace", Got: brief(asked), Want: brief(named) + ", as the body has it, or none"}})
	}
	ns := named
	if ns == "" {
		ns = c.home()
	}
	if ns == "" {
		return "", c.severalNamespaces()
	}
	if _, err := auth.ParseScope("read:" + ns); err != nil || ns == everywhere {
		return "", status.Invalid("api.namespace", "namespace", []status.Fault{{Field: "namespace", Got: brief(ns), Want: direct.WantNamespace}})
	}
	return ns, c.caller.May(ns, auth.ActionDeploy)
}

// listed is the namespace that a list is of.
func (c *call) listed() (string, error) {
	if ns := c.r.URL.Query().Get("namespace"); ns != "" {
		if _, err := auth.ParseScope("read:" + ns); err != nil || ns == everywhere {
			return "", status.Invalid("api.namespace", "namespace", []status.Fault{{Field: "namespace", Got: brief(ns), Want: direct.WantNamespace}})
		}
		return ns, c.caller.May(ns, auth.ActionRead)
	}
	switch list := c.namespaces(); {
	case list == nil:
		return everywhere, nil
	case len(list) == 1:
		return list[0], nil
	case len(list) == 0:
		return "", c.caller.May("default", auth.ActionRead)
	default:
		return "", c.severalNamespaces()
	}
}

// severalNamespaces asks a caller whose token is for several which one is meant.
func (c *call) severalNamespaces() error {
	return status.Invalid("api.namespace", "namespace", []status.Fault{{
		Field: "namespace", Got: "nothing", Want: "one of those that your token is for: " + brief(strings.Join(c.namespaces(), ", ")),
	}}).WithHint("add ?namespace=NAME to the URL")
}

// brief is a caller's text as far as an error repeats it.
func brief(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
