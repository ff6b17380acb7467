package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"apocryph/p2p/source"
	"apocryph/provider/deploy"
)

// FuzzForm: whatever a form is, it is read or refused, and leaves no tree behind
// that its reader does not know of.
func FuzzForm(f *testing.F) {
	for _, s := range []string{
		"--b\r\nContent-Disposition: form-data; name=\"manifest\"; filename=\"m\"\r\n\r\n{}\r\n--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n",
		"--b\r\nContent-Disposition: form-data; name=\"manifest\"\r\n\r\n{}\r\n--b--\r\n",
		"--b\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n", "--b--", "", "--b\n\n", "--b\r\nContent-Disposition: ;;;\r\n\r\n\r\n--b--",
		"--b\r\nContent-Disposition: form-data; name=\"files\"; filename*=UTF-8''..%2f\r\n\r\nx\r\n--b--\r\n",
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	a := &API{cfg: Config{Staging: dir}, uploads: newGate(4)}
	a.limits = Limits{Parts: 8, Files: source.DefaultLimits(), UploadBytes: 1 << 20}.withDefaults()
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/deploy", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		c := &call{api: a, w: &writer{ResponseWriter: httptest.NewRecorder()}, r: r, op: &operation{access: everybody}}
		got, err := c.readForm()
		if err != nil {
			if code := statusOf(err); code < 400 || code >= 500 {
				t.Errorf("%d for %v", code, err)
			}
			return
		}
		if got.manifest == nil {
			t.Error("no manifest and no refusal")
		}
		got.close()
	})
}

func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{"", "1", "-1", "18446744073709551615", "18446744073709551616", "0x1", "1\x00", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &http.Request{Header: http.Header{"Last-Event-Id": {text}}}
		r.URL = httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil).URL
		n, err := lastEventID(r)
		if err == nil && text != "" && strings.Trim(text, "0123456789") != "" {
			t.Errorf("%q is %d", text, n)
		}
		if err != nil && statusOf(err) != http.StatusBadRequest {
			t.Errorf("%d for %q", statusOf(err), text)
		}
	})
}

func FuzzContentDigest(f *testing.F) {
	for _, s := range []string{
		"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "sha-256=::", "sha-256=:x:, md5=:AAAA:", "a=:AA==:,b=:AA==:", "", ",", "sha-512=:AAAA:", "sha-256=?1",
	} {
		f.Add(s)
	}
	sizes := map[string]int{"sha-256": 32, "sha-512": 64}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseDigests(text)
		if !ok && len(got) > 0 {
			t.Error("a refused field has digests")
		}
		for alg, sum := range got {
			if len(sum) != sizes[alg] {
				t.Errorf("%s has %d bytes", alg, len(sum))
			}
			if strings.Count(text, alg) != 1 {
				t.Errorf("%s is in %q more than once", alg, text)
			}
		}
	})
}

func TestAppTag(t *testing.T) {
	one, other := appTag(deploy.App{ID: "a", Version: 1}), appTag(deploy.App{ID: "b", Version: 1})
	if one == other || !matches([]string{`"x", ` + one}, one) || matches([]string{"W/" + one}, one) || !matches([]string{"*"}, one) {
		t.Errorf("got %s and %s", one, other)
	}
}
