package problem_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"apocryph/proto/problem"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite testdata")

var ignoreCause = cmpopts.IgnoreUnexported(status.Error{})

func sample() *status.Error {
	return status.Invalid("manifest.invalid", "manifest", []status.Fault{
		{Field: "containers[0].image", Got: "nothing", Want: "an image", Line: 4},
		{Field: "name", Got: `"<A>"`, Want: "lower case"},
	}).WithHint("see line 4")
}

func write(r *http.Request, err error) *http.Response {
	w := httptest.NewRecorder()
	problem.Write(w, r, err)
	return w.Result()
}

// TestHTTPStatus is the contract with clients that see only HTTP.
func TestHTTPStatus(t *testing.T) {
	tooLarge := &http.MaxBytesError{Limit: 10}
	tests := []struct {
		name string
		err  error
		want int
		code string
	}{
		{"invalid argument", status.New(status.InvalidArgument, "a", "b"), 400, "invalid_argument"},
		{"unauthenticated", status.New(status.Unauthenticated, "a", "b"), 401, "unauthenticated"},
		{"permission denied", status.New(status.PermissionDenied, "a", "b"), 403, "permission_denied"},
		{"untrusted", status.New(status.Untrusted, "a", "b"), 403, "untrusted"},
		{"not found", status.New(status.NotFound, "a", "b"), 404, "not_found"},
		{"conflict", status.New(status.Conflict, "a", "b"), 409, "conflict"},
		{"exhausted", status.New(status.ResourceExhausted, "a", "b"), 429, "resource_exhausted"},
		{"unimplemented", status.New(status.Unimplemented, "a", "b"), 501, "unimplemented"},
		{"unavailable", status.New(status.Unavailable, "a", "b"), 503, "unavailable"},
		{"deadline", status.New(status.DeadlineExceeded, "a", "b"), 504, "deadline_exceeded"},
		{"canceled", status.New(status.Canceled, "a", "b"), 499, "canceled"},
		{"internal", status.New(status.Internal, "a", "b"), 500, "internal"},
		{"app failed", status.New(status.AppFailed, "a", "b"), 422, "app_failed"},
		{"context deadline", context.DeadlineExceeded, 504, "deadline_exceeded"},
		{"context canceled", fmt.Errorf("asking: %w", context.Canceled), 499, "canceled"},
		{"plain", errors.New("x"), 500, "internal"},
		{"nil", nil, 500, "internal"},
		{"ok as an error", status.New(status.OK, "a", "b"), 500, "internal"},
		{"later code", status.New(77, "a", "b"), 500, "internal"},
		{"body too large", fmt.Errorf("reading: %w", tooLarge), 413, "invalid_argument"},
		{"body too large, classed", status.Wrap(tooLarge, status.InvalidArgument, "a", "b"), 413, "invalid_argument"},
		{"body too large, badly classed", status.Wrap(tooLarge, status.Unavailable, "a", "b"), 413, "invalid_argument"},
		{"no multipart", http.ErrNotMultipart, 415, "invalid_argument"},
		{"no boundary", fmt.Errorf("x: %w", http.ErrMissingBoundary), 415, "invalid_argument"},
		{"media type", status.Wrap(mime.ErrInvalidMediaParameter, status.InvalidArgument, "a", "b"), 415, "invalid_argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problem.HTTPStatus(tt.err); got != tt.want {
				t.Errorf("HTTPStatus = %d, want %d", got, tt.want)
			}
			resp := write(nil, tt.err)
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.want || !strings.Contains(string(body), fmt.Sprintf("%q:%q", "code", tt.code)) {
				t.Errorf("wrote %d %s, want %d %s", resp.StatusCode, body, tt.want, tt.code)
			}
			if ct := resp.Header.Get("Content-Type"); ct != problem.ContentType {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

func TestWriteGolden(t *testing.T) {
	withID := httptest.NewRequest(http.MethodPost, "/", nil)
	withID.Header.Set(problem.RequestIDHeader, "01J-abc")
	failed := status.New(status.AppFailed, "app.exited", "the app exited with code 1")
	failed.Log = []string{"starting", "panic: no database"}
	for name, tt := range map[string]struct {
		r   *http.Request
		err error
	}{
		"faults":     {withID, sample()},
		"retry":      {withID, status.New(status.ResourceExhausted, "capacity.memory", "1 GiB is asked, 512 MiB are free").WithRetryAfter(1500 * time.Millisecond)},
		"untrusted":  {nil, status.New(status.Untrusted, "attest.ATT-071", "another measurement")},
		"internal":   {withID, errors.New("secret /path")},
		"no_reason":  {nil, status.New(status.NotFound, "", "no such pod")},
		"too_large":  {nil, &http.MaxBytesError{Limit: 4096}},
		"media_type": {nil, http.ErrNotMultipart},
		"app_failed": {nil, failed},
	} {
		t.Run(name, func(t *testing.T) {
			resp := write(tt.r, tt.err)
			var b strings.Builder
			fmt.Fprintf(&b, "%d\n", resp.StatusCode)
			if err := resp.Header.Write(&b); err != nil {
				t.Fatal(err)
			}
			b.WriteByte('\n')
			if _, err := io.Copy(&b, resp.Body); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(b.String(), "\r", "")
			file := filepath.Join("testdata", name+".http")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	for _, code := range []status.Code{
		status.InvalidArgument, status.Unauthenticated, status.PermissionDenied, status.Untrusted, status.NotFound, status.Conflict,
		status.ResourceExhausted, status.Unimplemented, status.Unavailable, status.DeadlineExceeded, status.AppFailed,
	} {
		e := status.New(code, "some.reason", "some detail").WithHint("some hint").WithRetryAfter(3 * time.Second)
		e.Faults, e.Log = sample().Faults, []string{"panic: no database"}
		if d := cmp.Diff(error(e), problem.Read(write(nil, e)), ignoreCause); d != "" {
			t.Errorf("%s: %s", code, d)
		}
	}
}

func TestWriteHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	for _, h := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Content-Disposition"} {
		w.Header().Set(h, "5")
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	w.Header().Set(problem.RequestIDHeader, "ours")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(problem.RequestIDHeader, "theirs")
	problem.Write(w, r, status.New(status.Unauthenticated, "a", "b"))
	for _, h := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Content-Disposition"} {
		if v := w.Header().Get(h); v != "" {
			t.Errorf("%s: %s is left over", h, v)
		}
	}
	if w.Header().Get("WWW-Authenticate") == "" || !strings.Contains(w.Body.String(), `"instance":"ours"`) {
		t.Errorf("got %v %s", w.Header(), w.Body)
	}
	for _, id := range []string{"", "a b", "<script>", "\u202e", strings.Repeat("a", 129)} {
		r.Header.Set(problem.RequestIDHeader, id)
		body, err := io.ReadAll(write(r, io.EOF).Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "instance") {
			t.Errorf("%q is reflected: %s", id, body)
		}
	}
}

func ExampleWrite() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, r, status.New(status.NotFound, "pod.unknown", "there is no pod %q", "web"))
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/pods/web", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 404 {"type":"urn:apocryph:problem:pod.unknown","title":"Not found","status":404,"detail":"there is no pod \"web\"","code":"not_found"}
}

func TestExtended(t *testing.T) {
	w := httptest.NewRecorder()
	err := status.New(status.AppFailed, "app.exited", "it <exited>")
	problem.WriteExtended(w, nil, err, http.StatusBadGateway, map[string]any{"deployment_id": "d", "a": 1, "status": "taken", "bad": 2})
	want := `{"type":"urn:apocryph:problem:app.exited","title":"App failed","status":502,"detail":"it <exited>","code":"app_failed","a":1,"bad":2,"deployment_id":"d"}` + "\n"
	if got := w.Body.String(); got != want || w.Code != http.StatusBadGateway {
		t.Errorf("got %d %s\nwant %s", w.Code, got, want)
	}
	// What is not fit for JSON is left out, the problem is not.
	w = httptest.NewRecorder()
	problem.WriteExtended(w, nil, err, http.StatusBadGateway, map[string]any{"f": func() {}})
	if !strings.HasPrefix(w.Body.String(), `{"type":"urn:apocryph:problem:app.exited"`) || strings.Contains(w.Body.String(), `"f"`) {
		t.Errorf("got %s", w.Body)
	}
}
