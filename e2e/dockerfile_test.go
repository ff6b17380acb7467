package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// answering is a Python program that answers with what a file has.
const answering = `import os
from http.server import *
class H(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open('/made', 'rb').read())
HTTPServer(('', int(os.environ['PORT'])), H).serve_forever()
`

// TestDockerfileRuns builds on the operator's base image, with commands, stages and a
// user, where builds have no network: twice, to the same bytes.
func TestDockerfileRuns(t *testing.T) {
	d := builder(t, "--build-egress", "off")
	defer d.clean(t)
	dir, commit := d.w.Repository("repos/runs", "", map[string]string{
		"serve.py": answering,
		"Dockerfile": `ARG BASE=localhost/python
FROM $BASE AS made
USER 0
RUN ["python3", "-c", "import sys, os; print('made by', sys.version_info.major, os.getuid()); open('/made', 'w').write('made in a stage')"]
FROM localhost/python
USER 0
COPY --from=made /made /made
COPY serve.py /app/serve.py
RUN ["python3", "-c", "import os; os.chmod('/made', 0o644); os.mkdir('/empty'); print(sorted(os.listdir('/')))"]
USER 65532:65532
RUN ["python3", "-c", "import os; print('user', os.getuid(), os.getgid()); open('/tmp/x', 'w')"]
EXPOSE 8080
ENV PORT=8080
ENTRYPOINT ["python3", "/app/serve.py"]
`,
	})
	first := d.deploySource(t, "runs", dir, "main")
	if first["status"] != "succeeded" {
		t.Fatalf("got %v\n%s", first, d.Log())
	}
	if got := d.app(first["url"].(string)); got != "made in a stage 200" {
		t.Errorf("it answers %q", got)
	}
	log := d.sh(`curl -f $API/api/v1/builds/$ID/logs`, "ID="+first["build_id"].(string))
	for _, line := range []string{"made by 3 0", "user 65532 65532"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	t.Log(log)
	if why := fmt.Sprint(first["entry"]); !strings.Contains(why, "line 2: localhost/python is oci:python@sha256:") {
		t.Errorf("the reasons are %s", why)
	}
	second := d.deploySource(t, "runs", dir, commit)
	if second["status"] != "succeeded" || second["image_digest"] != first["image_digest"] || second["build_id"] == first["build_id"] {
		t.Errorf("%v was %v: %v", second["image_digest"], first["image_digest"], second)
	}
}
