package ingress

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
)

// ownAnswer is the header that says, by its line, that the ingress answered and
// not the app. A publisher that waits for its app looks at it. What an app
// sends under that name is dropped.
const ownAnswer = "Apocryph-Ingress"

// answer tells a client in one line what is wrong, as application/problem+json
// (RFC 9457) where it asks for JSON and as plain text otherwise. The line may
// quote a host and a reason; neither type is ever rendered as HTML.
func answer(w http.ResponseWriter, req *http.Request, code int, line string) {
	h := w.Header()
	h.Set(ownAnswer, line)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if !wantsJSON(req) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(line + "\n")) // the client may be gone
		return
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client may be gone
		"type": "about:blank", "title": http.StatusText(code), "status": code, "detail": line,
	})
}

func wantsJSON(req *http.Request) bool {
	for _, line := range req.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			kind, params, err := mime.ParseMediaType(part)
			if err == nil && (kind == "application/problem+json" || kind == "application/json") && params["q"] != "0" {
				return true
			}
		}
	}
	return false
}
