package ingress

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"apocryph/manifest"
	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider"
)

func runs(addr, m string, images ...string) provider.Backend {
	b := provider.Backend{Addr: addr, Manifest: manifest.DigestOf([]byte(m))}
	for _, i := range images {
		b.ImageIDs = append(b.ImageIDs, manifest.DigestOf([]byte(i)).String())
	}
	return b
}

func digestText(s string) string { return manifest.DigestOf([]byte(s)).String() }

func TestParseExpect(t *testing.T) {
	one, two := digestText("1"), digestText("2")
	bare := strings.TrimPrefix(two, "sha256:")
	for name, c := range map[string]struct {
		lines []string
		want  int
	}{
		"nothing":        {nil, 0},
		"one":            {[]string{one}, 1},
		"bare":           {[]string{bare}, 1},
		"upper case":     {[]string{strings.ToUpper(one)}, 1},
		"several":        {[]string{one + ", " + bare}, 2},
		"several lines":  {[]string{one, bare + "\t,\t" + one}, 3},
		"sixteen":        {slices.Repeat([]string{one}, 16), 16},
		"empty":          {[]string{""}, -1},
		"blank":          {[]string{" "}, -1},
		"empty beside":   {[]string{one + ","}, -1},
		"not hex":        {[]string{strings.Replace(one, "sha256:", "sha256:g", 1)[:71]}, -1},
		"short":          {[]string{one[:70]}, -1},
		"long":           {[]string{one + "0"}, -1},
		"other hash":     {[]string{"sha512:" + bare}, -1},
		"two prefixes":   {[]string{"sha256:" + one}, -1},
		"zero":           {[]string{strings.Repeat("0", 64)}, -1},
		"semicolon":      {[]string{one + ";" + bare}, -1},
		"any":            {[]string{"*"}, -1},
		"one is no good": {[]string{one, "x"}, -1},
		"seventeen":      {slices.Repeat([]string{one}, 17), -1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseExpect(c.lines)
			if c.want < 0 {
				wantCode(t, err, status.InvalidArgument)
				return
			}
			if err != nil || len(got) != c.want {
				t.Fatalf("got %d, %v, want %d", len(got), err, c.want)
			}
		})
	}
}

// FuzzExpect never passes a header that it did not understand.
func FuzzExpect(f *testing.F) {
	for _, s := range []string{"", ",", digestText("1"), strings.Repeat("0", 64), "sha256:", digestText("1") + "," + digestText("2")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseExpect([]string{s})
		if (err == nil) != (len(got) > 0) {
			t.Fatalf("%q: got %d digests and %v", s, len(got), err)
		}
		lower := strings.ToLower(s)
		for _, d := range got {
			if len(got) > maxExpect || !strings.Contains(lower, hex.EncodeToString(d[:])) {
				t.Fatalf("%q: got %x", s, d)
			}
		}
	})
}

// TestExpect answers 421 unless one of the digests runs, tells the app nothing
// of the header, and does not send it the request.
func TestExpect(t *testing.T) {
	i := run(t, nil)
	var asked int
	port := backend(t, "127.0.0.2", 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		for name := range r.Header {
			if strings.Contains(strings.ToLower(name), "expect") {
				t.Errorf("the app got the header %s", name)
			}
		}
		_, _ = io.WriteString(w, "app")
	}))
	endpoints := assign(t, i, app(httpPort(port)))
	show := func(b ...provider.Backend) {
		if err := i.Publish(podID, endpoints, b); err != nil {
			t.Fatal(err)
		}
	}
	show(runs("127.0.0.2", "m1", "image a", "image b"))
	url := "http://" + shopHost + "/"
	for _, h2 := range []bool{false, true} {
		c := client(t, i, h2)
		for _, ok := range []string{digestText("m1"), digestText("image b"), digestText("other") + "," + digestText("image a")} {
			if code, body, _ := get(t, c, url, ExpectHeader, ok, "Apocryph_expect", "x"); code != 200 || body != "app" {
				t.Errorf("h2 %v: got %d %q for %s", h2, code, body, ok)
			}
		}
		before := asked
		code, body, header := get(t, c, url, ExpectHeader, digestText("other"))
		if code != http.StatusMisdirectedRequest || header.Get("Content-Type") != problem.ContentType || header.Get(ownAnswer) == "" {
			t.Errorf("h2 %v: got %d %v", h2, code, header)
		}
		for _, part := range []string{digestText("m1"), digestText("image a"), digestText("other"), `"status":421`, "ingress.misdirected", "hint"} {
			if !strings.Contains(body, part) {
				t.Errorf("the problem lacks %q:\n%s", part, body)
			}
		}
		if code, body, _ = get(t, c, url, ExpectHeader, "latest"); code != http.StatusBadRequest || !strings.Contains(body, "ingress.expect") {
			t.Errorf("got %d %s", code, body)
		}
		if asked != before {
			t.Error("the app was asked all the same")
		}
	}
	c := client(t, i, false)
	// An upgrade is held against it, too.
	if code, _, _ := get(t, c, url, ExpectHeader, digestText("other"), "Connection", "Upgrade", "Upgrade", "websocket"); code != http.StatusMisdirectedRequest {
		t.Errorf("got %d for an upgrade", code)
	}
	// The update is what counts from the moment that it serves.
	show(runs("127.0.0.2", "m2", "image c"))
	for want, expect := range map[int]string{200: digestText("m2"), 421: digestText("m1")} {
		if code, _, _ := get(t, c, url, ExpectHeader, expect); code != want {
			t.Errorf("after the update: got %d, want %d", code, want)
		}
	}
	show(provider.Backend{Addr: "127.0.0.2"})
	if code, _, _ := get(t, c, url, ExpectHeader, digestText("m2")); code != http.StatusMisdirectedRequest {
		t.Errorf("got %d from a backend of which nothing is known", code)
	}
}

// TestExpectOfTheReplicaThatIsChosen while replicas of two revisions serve.
func TestExpectOfTheReplicaThatIsChosen(t *testing.T) {
	i := run(t, nil)
	port := backend(t, "127.0.0.2", 0, text("old"))
	backend(t, "127.0.0.3", port, text("new"))
	if err := i.Publish(podID, assign(t, i, app(httpPort(port))), []provider.Backend{runs("127.0.0.2", "m1"), runs("127.0.0.3", "m2")}); err != nil {
		t.Fatal(err)
	}
	c := client(t, i, false)
	seen := map[string]int{}
	for range 8 {
		code, body, _ := get(t, c, "http://"+shopHost+"/", ExpectHeader, digestText("m2"))
		if code == http.StatusMisdirectedRequest {
			body = "refused"
		}
		seen[fmt.Sprint(code, body)]++
	}
	if seen["200new"] != 4 || seen["421refused"] != 4 {
		t.Errorf("got %v", seen)
	}
}
