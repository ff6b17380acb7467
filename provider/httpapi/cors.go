package httpapi

import (
	"net/http"
	"slices"
)

const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Content-Digest, Repr-Digest, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, Range, " +
		"Tus-Resumable, Upload-Length, Upload-Defer-Length, Upload-Metadata, Upload-Offset, X-Request-Id"
	corsExposed = "Content-Digest, Repr-Digest, Deprecation, ETag, Idempotent-Replayed, Link, Location, Preference-Applied, Retry-After, " +
		"Tus-Resumable, Upload-Length, Upload-Offset, WWW-Authenticate, X-Request-Id"
)

// cors lets the pages of configured origins read answers (Fetch, 3.2), and reports
// whether the request was a preflight, which it has answered. There are no
// cookies here, so no credentials are allowed.
func (a *API) cors(w http.ResponseWriter, r *http.Request) bool {
	if len(a.cfg.Origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(a.cfg.Origins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
