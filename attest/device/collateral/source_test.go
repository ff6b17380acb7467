package collateral

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/attest"
	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers with a statement that is valid for thirty days, or as told.
type service struct {
	*httptest.Server
	asked atomic.Int32

	mu     sync.Mutex
	answer http.HandlerFunc
}

func newService(t *testing.T, clock func() time.Time) *service {
	s := &service{}
	s.say(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"x":{"n":%d,"nextUpdate":%q},"signature":"00"}`, s.asked.Load(), clock().Add(30*24*time.Hour).Format(time.RFC3339))
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		f := s.answer
		s.mu.Unlock()
		f(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) say(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *service) piece() piece {
	return piece{name: "x", id: "x", url: s.URL + "/x", max: 4096, shape: signedUntil("x")}
}

// clock is set by hand.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time                   { return time.Unix(c.at.Load(), 0).UTC() }
func (c *clock) pass(d time.Duration)             { c.at.Add(int64(d / time.Second)) }
func down(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

func newSource(t *testing.T, dir string, c *clock) *Source {
	t.Helper()
	s, err := New(Config{Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// TestLife goes through a piece's time: kept, renewed after a day, used while
// the service is down, refused once it expired.
func TestLife(t *testing.T) {
	c := &clock{}
	c.at.Store(1_700_000_000)
	dir := t.TempDir()
	v := newService(t, c.now)
	s := newSource(t, dir, c)
	get := func(s *Source) ([]byte, error) {
		e, err := s.get(t.Context(), v.piece())
		if err != nil {
			return nil, err
		}
		return e.Body, nil
	}
	first, err := get(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := get(newSource(t, dir, c))
	if err != nil || !bytes.Equal(first, again) || v.asked.Load() != 1 {
		t.Errorf("another process asked %d times: %v", v.asked.Load(), err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Errorf("got %q", files)
	} else if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if kept := ListKept(dir); len(kept) != 1 || kept[0].Name != "x" || !kept[0].Fetched.Equal(c.now()) {
		t.Errorf("got %+v", kept)
	}

	// A day later it is used and renewed beside that.
	c.pass(25 * time.Hour)
	if old, err := get(s); err != nil || !bytes.Equal(old, first) {
		t.Errorf("got %s, %v", old, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for {
		if b, err := get(s); err != nil {
			t.Fatal(err)
		} else if !bytes.Equal(b, first) {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	v.say(down)
	c.pass(29 * 24 * time.Hour)
	if _, err := get(s); err != nil {
		t.Errorf("an old piece is not used: %v", err)
	}
	c.pass(2 * 24 * time.Hour)
	before := v.asked.Load()
	for range 5 {
		if _, err := get(s); status.ReasonOf(err) != "collateral.absent" {
			t.Errorf("got %v", err)
		}
	}
	if n := v.asked.Load() - before; n != 1 {
		t.Errorf("a service that is down was asked %d times within a minute", n)
	}
	c.pass(askAgain)
	if _, err := get(s); err == nil || v.asked.Load()-before != 2 {
		t.Errorf("got %v", err)
	}
}

func TestAnswersRefused(t *testing.T) {
	c := &clock{}
	c.at.Store(1_700_000_000)
	for name, answer := range map[string]http.HandlerFunc{
		"down":    down,
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"noise":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("noise")) },
		"no signature": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"x":{"nextUpdate":"2030-01-01T00:00:00Z"}}`))
		},
		"no end": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"x":{},"signature":"00"}`)) },
		"expired": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"x":{"nextUpdate":"2020-01-01T00:00:00Z"},"signature":"00"}`))
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 9000)) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/y", http.StatusFound) },
		"long header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", string(bytes.Repeat([]byte("x"), maxHeader+1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newService(t, c.now)
			v.say(answer)
			dir := t.TempDir()
			e, err := newSource(t, dir, c).get(t.Context(), v.piece())
			if status.ReasonOf(err) != "collateral.absent" || status.CodeOf(err) != status.Unavailable {
				t.Errorf("got %v, %v", e, err)
			}
			if files, _ := os.ReadDir(dir); len(files) > 0 {
				t.Errorf("kept %v", files)
			}
		})
	}
}

// TestKeptFiles: what lies in the directory is no better than an answer.
func TestKeptFiles(t *testing.T) {
	c := &clock{}
	c.at.Store(1_700_000_000)
	v := newService(t, c.now)
	kept := func(year string) []byte {
		b, err := json.Marshal(entry{Name: "x", Fetched: c.now(), Body: []byte(`{"x":{"nextUpdate":"` + year + `-01-01T00:00:00Z"},"signature":"00"}`)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := kept("2030")
	for name, content := range map[string][]byte{
		"noise": []byte("noise"), "empty": nil, "no body": []byte(`{"name":"x"}`), "cut": good[:len(good)/2],
		"expired": kept("2010"), "huge": bytes.Repeat([]byte(" "), maxEntry+1),
		"good": good,
	} {
		dir := t.TempDir()
		s := newSource(t, dir, c)
		if err := os.WriteFile(s.path(v.piece()), content, 0o600); err != nil {
			t.Fatal(err)
		}
		before := v.asked.Load()
		if _, err := s.get(t.Context(), v.piece()); err != nil || (v.asked.Load() == before) != (name == "good") {
			t.Errorf("%s: asked %d times, %v", name, v.asked.Load()-before, err)
		}
	}
}

func TestURLs(t *testing.T) {
	for _, ok := range []string{"", Off, DefaultKDS, DefaultPCS, "http://10.0.0.1:8081", "https://cache.example/sub/"} {
		if err := CheckURL(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"cache.example", "ftp://cache.example", "https://", "https://u:p@cache.example", "https://cache.example?x=1", "https://cache.example#x", "::"} {
		if err := CheckURL(bad); status.ReasonOf(err) != "collateral.url" {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	// Intel's root list lies elsewhere at Intel.
	s := newSource(t, t.TempDir(), &clock{})
	s.cfg.PCS = DefaultPCS
	for _, p := range s.intelPieces(pck{"00", "platform"}) {
		if p.kind == attest.TDXRootCRL && p.url != intelRootCRL {
			t.Errorf("got %s", p.url)
		}
	}
}

func FuzzPCK(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("quote"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = pckOf(b) })
}
