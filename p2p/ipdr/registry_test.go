package ipdr

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"apocryph/p2p/content"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestRegistry(t *testing.T) {
	s := newStore(t, nil)
	img := sample(t, s, "v1", 2<<20+3, 70)
	root := mustBuild(t, s, img)
	srv := httptest.NewServer(Registry(s))
	defer srv.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	base := strings.TrimPrefix(srv.URL, "http://") + "/" + root.String()
	for _, ref := range []string{base, base + ":v1", base + "@" + digestOf(img.Manifest)} {
		r, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remote.Image(r, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if raw, err := got.RawManifest(); err != nil || !bytes.Equal(raw, img.Manifest) {
			t.Errorf("manifest of %s: %v", ref, err)
		}
		if cfg, err := got.RawConfigFile(); err != nil || !bytes.Equal(cfg, img.Config) {
			t.Errorf("configuration of %s: %v", ref, err)
		}
		ls, err := got.Layers()
		if err != nil || len(ls) != 2 {
			t.Fatalf("%d layers of %s: %v", len(ls), ref, err)
		}
		for _, l := range ls {
			rc, err := l.Compressed() // checks the digest at its end
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, rc); err != nil {
				t.Error(err)
			}
			rc.Close()
		}
		if err := validate.Image(got, validate.Fast); err != nil && !strings.Contains(err.Error(), "diff") && !strings.Contains(err.Error(), "config") {
			t.Error(err)
		}
	}

	layer, err := os.ReadFile(img.Layers[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := s.AddDirectory(t.Context(), []content.Entry{})
	if err != nil {
		t.Fatal(err)
	}
	lie, err := s.AddBytes(t.Context(), []byte("not that"))
	if err != nil {
		t.Fatal(err)
	}
	lies, err := s.AddDirectory(t.Context(), []content.Entry{{Name: img.Layers[0].Digest, Node: lie}})
	if err != nil {
		t.Fatal(err)
	}
	liar, err := s.AddDirectory(t.Context(), []content.Entry{{Name: "blobs", Node: lies}, {Name: "manifests", Node: lies}})
	if err != nil {
		t.Fatal(err)
	}
	l0 := "/blobs/" + img.Layers[0].Digest
	for _, tt := range []struct {
		method, path, ranges string
		want                 int
		body                 []byte
		length               int64
	}{
		{"GET", "/v2/", "", 200, []byte("{}"), -2},
		{"GET", "/v2/" + root.String() + l0, "bytes=10-19", 206, layer[10:20], 10},
		{"GET", "/v2/" + root.String() + l0, "bytes=-5", 206, layer[len(layer)-5:], 5},
		{"GET", "/v2/" + root.String() + l0, "bytes=99999999-", 416, nil, -2},
		{"HEAD", "/v2/" + root.String() + l0, "", 200, []byte{}, int64(len(layer))},
		{"HEAD", "/v2/" + root.String() + "/manifests/latest", "", 200, []byte{}, int64(len(img.Manifest))},
		{"GET", "/v2/" + root.String() + "/manifests/v2", "", 404, nil, -2},
		{"GET", "/v2/" + root.String() + "/manifests/" + img.Layers[0].Digest, "", 404, nil, -2},
		{"GET", "/v2/" + root.String() + "/blobs/" + digestOf([]byte("x")), "", 404, nil, -2},
		{"GET", "/v2/" + root.String() + "/blobs/x", "", 400, nil, -2},
		{"GET", "/v2/" + liar.CID.String() + l0, "", 404, nil, -2},
		{"GET", "/v2/" + liar.CID.String() + "/manifests/" + img.Layers[0].Digest, "", 404, nil, -2},
		{"GET", "/v2/" + wrong.CID.String() + "/manifests/latest", "", 404, nil, -2},
		{"GET", "/v2/nginx/manifests/latest", "", 404, nil, -2},
		{"GET", "/v2/" + lie.CID.String() + "/manifests/latest", "", 404, nil, -2},
		{"GET", "/v2/_catalog", "", 404, nil, -2},
		{"PUT", "/v2/" + root.String() + "/manifests/latest", "", 405, nil, -2},
		{"DELETE", "/v2/" + root.String() + l0, "", 405, nil, -2},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.ranges != "" {
			req.Header.Set("Range", tt.ranges)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tt.want || (tt.body != nil && !bytes.Equal(b, tt.body)) || (tt.length > -2 && res.ContentLength != tt.length) {
			t.Errorf("%s %s %s: %d, %d bytes, length %d, %v; want %d", tt.method, tt.path, tt.ranges, res.StatusCode, len(b), res.ContentLength, err, tt.want)
		}
	}
}
