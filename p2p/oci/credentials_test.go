package oci

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"apocryph/proto/status"

	"github.com/google/go-containerregistry/pkg/authn"
)

type oneLogin struct{ host string }

func (k oneLogin) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() != k.host {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: "user", Password: "hunter2"}, nil
}

func TestCredentials(t *testing.T) {
	host, tr, img := meddle(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "hunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	got := mustRead(t, host+"/app", Options{Platform: amd64, Transport: tr, Keychain: oneLogin{host}})
	if got.ID() != img.ID() {
		t.Error("the wrong image")
	}
	_, err := read(t, host+"/app", Options{Platform: amd64, Transport: tr, Keychain: oneLogin{"elsewhere"}})
	refused(t, err, status.PermissionDenied, "docker login")
	_, err = read(t, host+"/app", Options{Platform: amd64, Transport: tr, Keychain: brokenKeychain{}})
	refused(t, err, status.PermissionDenied, "docker login")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the helper's output is in the error: %v", err)
	}
}

type brokenKeychain struct{}

func (brokenKeychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return nil, errors.New("helper printed: password is hunter2")
}

// refuse fails each request, so that nothing leaves this machine.
type refuse struct{ asked []string }

func (r *refuse) RoundTrip(req *http.Request) (*http.Response, error) {
	r.asked = append(r.asked, req.URL.Scheme)
	return nil, errors.New("no route")
}

func TestOnlyTLSElsewhere(t *testing.T) {
	for _, host := range []string{"192.168.0.1:5000", "10.0.0.1", "registry.local:5000", "registry.example.com"} {
		tr := new(refuse)
		_, err := read(t, host+"/app", Options{Platform: amd64, Transport: tr})
		if err == nil {
			t.Errorf("%s: no error", host)
		}
		for _, scheme := range tr.asked {
			if scheme != "https" {
				t.Errorf("%s was asked by %s", host, scheme)
			}
		}
	}
	r, err := http.NewRequest(http.MethodGet, "http://example.com/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tlsOnly{new(refuse)}.RoundTrip(r)
	refused(t, err, status.PermissionDenied, "example.com", "https")
}

func TestUnreachableRegistry(t *testing.T) {
	_, err := read(t, "registry.example.com/app", Options{Platform: amd64, Transport: new(refuse)})
	refused(t, err, status.Unavailable, "registry.example.com/app", "network")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Read(ctx, Reference{Transport: Registry, Name: "registry.example.com/app"}, Options{Platform: amd64, Transport: NewTransport()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
