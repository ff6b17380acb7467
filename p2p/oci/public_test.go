package oci

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"apocryph/proto/status"
)

// TestPublicTransport: a reference that a stranger chose leads to no neighbour, by name,
// by address or by redirect, unless the operator named the host.
func TestPublicTransport(t *testing.T) {
	img := sample(t, amd64, "a layer")
	var asked atomic.Int32
	reg := quietRegistry()
	host, plain := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		reg.ServeHTTP(w, r)
	}))
	push(t, host, "app:1", plain, img)
	_, port, _ := strings.Cut(host, ":")
	asked.Store(0)
	for _, ref := range []string{
		host + "/app:1", "localhost:" + port + "/app:1", "[::1]:" + port + "/app:1", "10.0.0.1:" + port + "/app:1", "169.254.169.254/app:1", "100.64.0.1/app:1", "[fd00::1]/app:1",
	} {
		_, err := Read(t.Context(), Reference{Transport: Registry, Name: ref}, Options{Platform: amd64, Anonymous: true, Transport: NewPublicTransport([]string{"127.0.0.1:1", "127.0.0.1"})})
		if status.CodeOf(err) != status.PermissionDenied || status.ReasonOf(err) != "image.registry_host" {
			t.Errorf("%s: got %v (%s)", ref, err, status.ReasonOf(err))
		}
	}
	if asked.Load() != 0 {
		t.Error("a neighbour was asked")
	}
	got, err := Read(t.Context(), Reference{Transport: Registry, Name: host + "/app:1"}, Options{Platform: amd64, Anonymous: true, Transport: NewPublicTransport([]string{host})})
	if err != nil || got.ID() != img.ID() {
		t.Fatalf("got %v, %v", got, err)
	}
	if want := bytesOf(t, img.Layers[0]); !bytes.Equal(bytesOf(t, got.Layers[0]), want) {
		t.Error("the layer is another one")
	}

	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed to a neighbour") }))
	defer elsewhere.Close()
	from, _ := serve(t, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	_, err = Read(t.Context(), Reference{Transport: Registry, Name: from + "/app:1"}, Options{Platform: amd64, Anonymous: true, Transport: NewPublicTransport([]string{from})})
	if status.ReasonOf(err) != "image.registry_host" {
		t.Errorf("got %v", err)
	}
}

func TestFull(t *testing.T) {
	for text, want := range map[string]string{
		"python": "docker.io/library/python:latest", "python:3.12": "docker.io/library/python:3.12", "r.example:5000/a/b": "r.example:5000/a/b:latest",
		"a@sha256:" + strings.Repeat("0", 64): "docker.io/library/a@sha256:" + strings.Repeat("0", 64), "oci:/x:1": "oci:/x:1",
	} {
		ref, err := ParseReference(text)
		if err != nil || ref.Full() != want {
			t.Errorf("%s: got %s, %v", text, ref.Full(), err)
		}
	}
}
