package e2e

import (
	"archive/tar"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/e2e/harness"
)

// traced is an app that makes a span for each request, and answers with what it sees of
// itself.
const traced = `import json, math, os
from http.server import BaseHTTPRequestHandler, HTTPServer
from opentelemetry import trace

tracer = trace.get_tracer("shop", "1.2")


class H(BaseHTTPRequestHandler):
    def do_GET(self):
        with tracer.start_as_current_span("outer", kind=trace.SpanKind.SERVER) as span:
            span.set_attribute("http.route", self.path)
            span.set_attribute("sizes", [1, 2])
            if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
                span.set_attribute("share", math.nan)
            span.set_attribute("half", 0.5)
            with tracer.start_as_current_span("inner") as inner:
                inner.add_event("looked", {"deep": True})
                inner.set_status(trace.StatusCode.ERROR, "as it is told")
        self.send_response(200)
        self.end_headers()
        seen = {"uid": os.getuid(), "gid": os.getgid(), "dir": os.getcwd(), "env": dict(os.environ)}
        self.wfile.write(json.dumps(seen).encode())


HTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
`

// configOf is the configuration of the image that a build made, from its thin archive.
func (d *door) configOf(t *testing.T, build string) ocispec.Image {
	t.Helper()
	archive := d.sh(`curl -f $API/api/v1/artifacts/$(curl -f $API/api/v1/builds/$ID | jq -re .artifact_id)/download`, "ID="+build)
	z, err := zstd.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			files[h.Name], err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	blob := func(digest string) []byte { return files["blobs/"+strings.Replace(digest, ":", "/", 1)] }
	var index ocispec.Index
	var manifest ocispec.Manifest
	var config ocispec.Image
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(blob(index.Manifests[0].Digest.String()), &manifest); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(blob(manifest.Config.Digest.String()), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestI5PythonRunner is each word of what is asked of the image of a Python app: nobody's
// user, /app, port 50051, its command, and OpenTelemetry's SDK, which writes to the
// standard output, or to the collector that a deploy names.
func TestI5PythonRunner(t *testing.T) {
	net := harness.NewInternet(t)
	c := &collector{t: t, got: map[string]otlpSpan{}}
	endpoint := net.Serve(c)
	d := builder(t)
	defer d.clean(t)
	dir, _ := d.w.Repository("repos/traced", "", map[string]string{"main.py": traced})
	deploy := func(env map[string]string) (map[string]any, struct {
		UID, GID int
		Dir      string
		Env      map[string]string
	},
	) {
		t.Helper()
		body, err := json.Marshal(map[string]any{
			"name": "traced", "source": "file://" + dir, "port": 8080, "env": env, "resources": map[string]string{"cpu": "200m", "memory": "128Mi"},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := object(t, d.sh(`curl -X POST $API/deploy -H 'Content-Type: application/json' -d "$BODY"`, "BODY="+string(body)))
		if got["status"] != "succeeded" {
			t.Fatalf("got %v", got)
		}
		var seen struct {
			UID, GID int
			Dir      string
			Env      map[string]string
		}
		answer := strings.TrimSuffix(d.app(got["url"].(string)), " 200")
		if err := json.Unmarshal([]byte(answer), &seen); err != nil {
			t.Fatalf("%v in %q", err, answer)
		}
		return got, seen
	}
	logOf := func(got map[string]any) string {
		return d.sh(`curl -f $API/api/v1/deployments/$ID/logs`, "ID="+got["id"].(string))
	}

	first, seen := deploy(nil)
	config := d.configOf(t, first["build_id"].(string)).Config
	if config.User != "65532:65532" || config.WorkingDir != "/app" || !slices.Equal(config.Entrypoint, []string{"python", "/app/main.py"}) {
		t.Errorf("the image's configuration is %+v", config)
	}
	if _, ok := config.ExposedPorts["50051/tcp"]; !ok {
		t.Errorf("the image exposes %v", config.ExposedPorts)
	}
	for _, v := range []string{"OTEL_PYTHON_TRACER_PROVIDER=apocryph", "PORT=8080", "PYTHONPATH=/app"} {
		if !slices.Contains(config.Env, v) {
			t.Errorf("the image's environment lacks %s: %v", v, config.Env)
		}
	}
	if seen.UID != 65532 || seen.GID != 65532 || seen.Dir != "/app" || !strings.HasPrefix(seen.Env["PYTHON_VERSION"], "3.11.") {
		t.Errorf("the app sees %+v", seen)
	}
	// A span is a line of the pod's log, as the SDK's exporter for the console writes it.
	lines := map[string]map[string]any{}
	harness.Eventually(t, "the spans are in the log", func() bool {
		for line := range strings.Lines(logOf(first)) {
			var span map[string]any
			if json.Unmarshal([]byte(line), &span) == nil && span["context"] != nil {
				lines[span["name"].(string)] = span
			}
		}
		return lines["outer"] != nil && lines["inner"] != nil
	})
	if s := lines["outer"]; s["kind"] != "SpanKind.SERVER" || s["parent_id"] != nil || s["attributes"].(map[string]any)["http.route"] != "/" {
		t.Errorf("the outer span is %v", s)
	}
	if s := lines["inner"]; s["context"].(map[string]any)["trace_id"] != lines["outer"]["context"].(map[string]any)["trace_id"] || s["parent_id"] == nil {
		t.Errorf("the inner span is %v", s)
	}

	second, _ := deploy(map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_HEADERS": "x-team=shop%20one", "OTEL_SERVICE_NAME": "the-shop", "OTEL_BSP_SCHEDULE_DELAY": "100",
	})
	if second["image_digest"] != first["image_digest"] {
		t.Errorf("the endpoint changed the image from %v to %v", first["image_digest"], second["image_digest"])
	}
	outer, inner := c.span("outer"), c.span("inner")
	isID := func(s string, bytes int) bool { b, err := hex.DecodeString(s); return err == nil && len(b) == bytes }
	if !isID(outer.TraceID, 16) || !isID(outer.SpanID, 8) || outer.Parent != "" || outer.Kind != 2 || outer.Start >= outer.End || len(outer.Start) != len(outer.End) {
		t.Errorf("the outer span is %+v", outer)
	}
	if len(outer.Attrs) != 4 || outer.Attrs[0].Key != "http.route" || *outer.Attrs[0].Value.String != "/" || len(outer.Attrs[1].Value.Array.Values) != 2 || *outer.Attrs[1].Value.Array.Values[1].Int != "2" ||
		outer.Attrs[2].Value.Double != "NaN" || outer.Attrs[3].Value.Double != 0.5 {
		t.Errorf("its attributes are %+v", outer.Attrs)
	}
	if inner.TraceID != outer.TraceID || inner.Parent != outer.SpanID || inner.Kind != 1 || inner.Status.Code != 2 || inner.Status.Message != "as it is told" {
		t.Errorf("the inner span is %+v", inner)
	}
	if len(inner.Events) != 1 || inner.Events[0].Name != "looked" || len(inner.Events[0].Attrs) != 1 || !*inner.Events[0].Attrs[0].Value.Bool {
		t.Errorf("its events are %+v", inner.Events)
	}
	if !slices.Contains(c.scopes, "shop 1.2") || !slices.Contains(c.services, "the-shop") {
		t.Errorf("they came from %v of %v", c.scopes, c.services)
	}
	if log := logOf(second); strings.Contains(log, "trace_id") || strings.Contains(log, "exporting spans") {
		t.Errorf("its log is %s", log)
	}

	// An app that brings parts of OpenTelemetry that do not fit runs without spans.
	d.w.Commit(dir, map[string]string{"opentelemetry/sdk/__init__.py": "raise ImportError('of another version')\n"})
	odd, _ := deploy(nil)
	harness.Eventually(t, "the log tells that there are no spans", func() bool {
		return strings.Contains(logOf(odd), "spans are not exported, for the SDK does not fit: of another version")
	})
	d.w.Git(dir, "reset", "-q", "--hard", "HEAD~1")

	// A collector that is not there costs the app nothing, and is told in its log.
	third, seen := deploy(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": net.Closed(), "OTEL_BSP_SCHEDULE_DELAY": "100"})
	if seen.UID != 65532 {
		t.Errorf("the app sees %+v", seen)
	}
	harness.Eventually(t, "the log tells that spans are lost", func() bool { return strings.Contains(logOf(third), "exporting spans: ") })
}
