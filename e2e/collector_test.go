package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"

	"apocryph/e2e/harness"
)

// The part of OTLP's JSON encoding that is looked at (opentelemetry-proto, "JSON Protobuf
// Encoding": ids are hex, 64-bit numbers are strings).
type (
	otlpValue struct {
		String *string `json:"stringValue"`
		Int    *string `json:"intValue"`
		Bool   *bool   `json:"boolValue"`
		Double any     `json:"doubleValue"`
		Array  *struct {
			Values []otlpValue `json:"values"`
		} `json:"arrayValue"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpSpan struct {
		TraceID string          `json:"traceId"`
		SpanID  string          `json:"spanId"`
		Parent  string          `json:"parentSpanId"`
		Name    string          `json:"name"`
		Kind    int             `json:"kind"`
		Start   string          `json:"startTimeUnixNano"`
		End     string          `json:"endTimeUnixNano"`
		Attrs   []otlpAttribute `json:"attributes"`
		Events  []struct {
			Time  string          `json:"timeUnixNano"`
			Name  string          `json:"name"`
			Attrs []otlpAttribute `json:"attributes"`
		} `json:"events"`
		Links  []json.RawMessage `json:"links"`
		Status struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"status"`
	}
	otlpTraces struct {
		ResourceSpans []struct {
			Resource struct {
				Attrs []otlpAttribute `json:"attributes"`
			} `json:"resource"`
			ScopeSpans []struct {
				Scope struct {
					Name    string `json:"name"`
					Version string `json:"version"`
				} `json:"scope"`
				Spans []otlpSpan `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	}
)

// collector takes traces by OTLP over HTTP (OTLP 1.x, "OTLP/HTTP Request").
type collector struct {
	t  *testing.T
	mu sync.Mutex
	// got are the spans by name, scopes and services what they came with.
	got              map[string]otlpSpan
	scopes, services []string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Team") != "shop one" {
		c.t.Errorf("the collector got %s %s %v: %v", r.Method, r.URL, r.Header, err)
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	var in otlpTraces
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		c.t.Errorf("the collector got %v in %s", err, body)
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range in.ResourceSpans {
		for _, a := range rs.Resource.Attrs {
			if a.Key == "service.name" && a.Value.String != nil {
				c.services = append(c.services, *a.Value.String)
			}
		}
		for _, ss := range rs.ScopeSpans {
			c.scopes = append(c.scopes, ss.Scope.Name+" "+ss.Scope.Version)
			for _, s := range ss.Spans {
				c.got[s.Name] = s
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// span waits for one.
func (c *collector) span(name string) otlpSpan {
	c.t.Helper()
	var out otlpSpan
	harness.Eventually(c.t, "a span "+name, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		s, ok := c.got[name]
		out = s
		return ok
	})
	return out
}
