package ingress

import (
	"io"
	"net/http"
	"strings"
)

// challengePath is where authorities look for answers (RFC 8555, 8.3).
const challengePath = "/.well-known/acme-challenge/"

// Challenges are those of an authority that is about to sign for a host.
type Challenges interface {
	// KeyAuthorization is the answer to a challenge that waits for it.
	KeyAuthorization(host, token string) (answer string, ok bool)
}

// Hosts are those that pods with running backends hold, and aliases outside of the
// domain that lead to one, in no order.
func (i *Ingress) Hosts() []string {
	var out []string
	for host, r := range *i.routes.Load() {
		if len(r.upstream.backends) > 0 {
			out = append(out, host)
		}
	}
	for host := range *i.aliases.Load() {
		if !i.leads(host) {
			continue
		}
		via, _, _ := i.aliased(host)
		if r := (*i.routes.Load())[via]; r != nil && len(r.upstream.backends) > 0 {
			out = append(out, host)
		}
	}
	return out
}

// serveChallenge answers a challenge of ours, and reports whether it was one:
// apps answer those of their own.
func (i *Ingress) serveChallenge(w http.ResponseWriter, req *http.Request, host string) bool {
	token, ok := strings.CutPrefix(req.URL.Path, challengePath)
	if !ok || i.cfg.Challenges == nil || req.Method != http.MethodGet && req.Method != http.MethodHead {
		return false
	}
	answer, ok := i.cfg.Challenges.KeyAuthorization(host, token)
	if !ok {
		return false
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, answer) // the client may be gone
	return true
}
