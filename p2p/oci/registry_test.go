package oci

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/proto/status"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	fake "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	stock "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// serve runs handler and returns its host and a transport to it.
func serve(t *testing.T, handler http.Handler) (string, *http.Transport) {
	t.Helper()
	srv := httptest.NewServer(handler)
	tr := NewTransport()
	t.Cleanup(func() { tr.CloseIdleConnections(); srv.Close() })
	return strings.TrimPrefix(srv.URL, "http://"), tr
}

func quietRegistry() http.Handler { return fake.New(fake.Logger(log.New(io.Discard, "", 0))) }

// push puts the images of a layout into a registry as one index under a tag.
func push(t *testing.T, host, ref string, tr http.RoundTripper, images ...*Image) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	var tagged []Tagged
	for _, i := range images {
		tagged = append(tagged, Tagged{"", i})
	}
	writeLayout(t, dir, tagged...)
	index, err := stock.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := name.ParseReference(host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if len(images) > 1 {
		err = remote.WriteIndex(r, index, remote.WithTransport(tr))
	} else {
		m, mErr := index.IndexManifest()
		if mErr != nil {
			t.Fatal(mErr)
		}
		var img v1.Image
		if img, err = index.Image(m.Manifests[0].Digest); err == nil {
			err = remote.Write(r, img, remote.WithTransport(tr))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegistry(t *testing.T) {
	host, tr := serve(t, quietRegistry())
	arm := Platform{OS: "linux", Architecture: "arm64"}
	intel := sample(t, amd64, "intel", "two")
	push(t, host, "team/app:v1", tr, sample(t, arm, "arm"), intel)
	push(t, host, "single", tr, intel)
	manifest, err := intel.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Platform: amd64, Transport: tr}
	for _, ref := range []string{"team/app:v1", "single", "single:latest", "single@" + digestOf(manifest), "single:any@" + digestOf(manifest)} {
		t.Run(ref, func(t *testing.T) {
			got := mustRead(t, host+"/"+ref, opts)
			if diff := cmp.Diff(contentsOf(t, intel), contentsOf(t, got)); diff != "" {
				t.Error(diff)
			}
			if got.Digest != digestOf(manifest) {
				t.Errorf("digest is %s, want %s", got.Digest, digestOf(manifest))
			}
		})
	}
	for ref, c := range map[string]struct {
		code  status.Code
		names []string
	}{
		"team/app:v2":                           {status.NotFound, []string{"team/app:v2", "tag"}},
		"nobody/app":                            {status.NotFound, []string{"nobody/app"}},
		"single@" + digestOf([]byte("nothing")): {status.NotFound, nil},
	} {
		_, err := read(t, host+"/"+ref, opts)
		refused(t, err, c.code, c.names...)
	}
	opts.Platform = Platform{OS: "linux", Architecture: "s390x"}
	_, err = read(t, host+"/team/app:v1", opts)
	refused(t, err, status.InvalidArgument, "linux/amd64, linux/arm64")
}

// TestTagMovesBetween shows that a tag counts once: what was read stays what it was.
func TestTagMovesBetween(t *testing.T) {
	host, tr := serve(t, quietRegistry())
	first := sample(t, amd64, "first")
	push(t, host, "app:v1", tr, first)
	img := mustRead(t, host+"/app:v1", Options{Platform: amd64, Transport: tr})
	push(t, host, "app:v1", tr, sample(t, amd64, "second"))
	if diff := cmp.Diff(contentsOf(t, first), contentsOf(t, img)); diff != "" {
		t.Error(diff)
	}
}

// meddle changes the answers of a registry.
func meddle(t *testing.T, to func(w http.ResponseWriter, r *http.Request, next http.Handler)) (string, *http.Transport, *Image) {
	t.Helper()
	reg := quietRegistry()
	armed := false
	host, tr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !armed {
			reg.ServeHTTP(w, r)
			return
		}
		to(w, r, reg)
	}))
	img := sample(t, amd64, strings.Repeat("payload", 10_000))
	push(t, host, "app", tr, img)
	armed = true
	return host, tr, img
}

func TestRegistryThatLies(t *testing.T) {
	answer := func(kind string, change func([]byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !strings.Contains(r.URL.Path, kind) {
				next.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
			_, _ = w.Write(change(rec.Body.Bytes()))
		}
	}
	t.Run("altered layer", func(t *testing.T) {
		host, tr, img := meddle(t, answer("/blobs/", func(b []byte) []byte {
			if len(b) > 10_000 {
				b[5000] ^= 1
			}
			return b
		}))
		refused(t, drain(t, mustRead(t, host+"/app", Options{Platform: amd64, Transport: tr})), status.InvalidArgument, "altered", img.Layers[0].Digest)
	})
	t.Run("short layer", func(t *testing.T) {
		host, tr, _ := meddle(t, answer("/blobs/", func(b []byte) []byte { return b[:min(len(b), 9000)] }))
		refused(t, drain(t, mustRead(t, host+"/app", Options{Platform: amd64, Transport: tr})), status.InvalidArgument, "truncated")
	})
	t.Run("endless manifest", func(t *testing.T) {
		host, tr, _ := meddle(t, answer("/manifests/", func(b []byte) []byte { return append(b, make([]byte, MaxManifest)...) }))
		_, err := read(t, host+"/app", Options{Platform: amd64, Transport: tr})
		refused(t, err, status.InvalidArgument, "more than 4194304 bytes")
	})
	t.Run("another manifest than the digest", func(t *testing.T) {
		host, tr, img := meddle(t, answer("/manifests/", func(b []byte) []byte { return append(b, ' ') }))
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		_, err = read(t, host+"/app@"+digestOf(manifest), Options{Platform: amd64, Transport: tr})
		refused(t, err, status.InvalidArgument, "altered", digestOf(manifest))
	})
	t.Run("connection lost", func(t *testing.T) {
		host, tr, _ := meddle(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			if rec.Body.Len() < 10_000 {
				w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
				_, _ = w.Write(rec.Body.Bytes())
				return
			}
			w.Header().Set("Content-Length", "70000")
			_, _ = w.Write(rec.Body.Bytes()[:100])
			panic(http.ErrAbortHandler)
		})
		err := drain(t, mustRead(t, host+"/app", Options{Platform: amd64, Transport: tr}))
		refused(t, err, status.Unavailable, "app@sha256:")
	})
}

func TestRegistryAnswers(t *testing.T) {
	for code, want := range map[int]status.Code{
		http.StatusUnauthorized: status.PermissionDenied, http.StatusForbidden: status.PermissionDenied, http.StatusNotFound: status.NotFound,
		http.StatusTooManyRequests: status.Unavailable, http.StatusInternalServerError: status.Unavailable, http.StatusTeapot: status.Unavailable,
	} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			host, tr, _ := meddle(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.Path == "/v2/" {
					next.ServeHTTP(w, r)
					return
				}
				http.Error(w, `{"errors":[{"code":"X","message":"`+"\x1b[31mred"+`"}]}`, code)
			})
			_, err := read(t, host+"/app", Options{Platform: amd64, Transport: tr})
			refused(t, err, want, "app")
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the registry's control characters reach the terminal: %q", err)
			}
		})
	}
}
