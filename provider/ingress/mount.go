package ingress

import (
	"maps"
	"net/http"

	"apocryph/proto/status"
)

// Mount serves a host name of this provider's own, below the domain, by a handler.
// It is reached over TLS alone: what callers send has their tokens in it. No app
// gets the name of a mounted host.
func (i *Ingress) Mount(host string, h http.Handler) {
	i.mu.Lock()
	defer i.mu.Unlock()
	own := maps.Clone(*i.mounts.Load())
	own[host] = h
	i.mounts.Store(&own)
}

// serveMounted answers for a mounted host.
func (i *Ingress) serveMounted(w http.ResponseWriter, req *http.Request, host string) bool {
	h := (*i.mounts.Load())[host]
	switch {
	case h == nil:
		return false
	case req.TLS == nil:
		refuse(w, req, http.StatusForbidden, status.New(status.PermissionDenied, "ingress.tls", "%s answers over TLS only", host).
			WithHint("use https"))
	default:
		h.ServeHTTP(w, req)
	}
	return true
}
