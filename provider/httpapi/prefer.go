package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"apocryph/proto/status"
)

// preference is what a caller prefers (RFC 7240). What is not understood is
// ignored, as that RFC wants.
type preference struct {
	async bool
	// wait is set with waits.
	wait  time.Duration
	waits bool
}

func preferences(h http.Header) (p preference) {
	for _, line := range h.Values("Prefer") {
		for _, item := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = true
			case "wait":
				if n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31); err == nil && !p.waits {
					p.wait, p.waits = min(time.Duration(n)*time.Second, maxWait), true
				}
			}
		}
	}
	return p
}

const (
	mediaSSE    = "text/event-stream"
	mediaNDJSON = "application/x-ndjson"
	mediaText   = "text/plain"
	mediaJSON   = "application/json"
)

// accepts picks the first of the media types that the caller names; the default
// where none is, or anything would do. Weights are not compared: whoever names
// one of these wants it.
func accepts(h http.Header, fallback string, offers ...string) string {
	for _, line := range h.Values("Accept") {
		for _, item := range strings.Split(line, ",") {
			m, params, err := mime.ParseMediaType(item)
			if err != nil || params["q"] == "0" {
				continue
			}
			for _, o := range offers {
				if m == o {
					return o
				}
			}
		}
	}
	return fallback
}

// seconds reads a duration in a query: "30", "30s" or "2m".
func seconds(text, field string, fallback, most time.Duration) (time.Duration, error) {
	if text == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if n, numErr := strconv.ParseUint(text, 10, 31); numErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > most {
		return 0, status.Invalid("api.query", "the query", []status.Fault{{Field: field, Got: brief(text), Want: "seconds, such as 30 or 1m30s, at most " + most.String()}})
	}
	return d, nil
}
