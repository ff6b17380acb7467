package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"apocryph/proto/status"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// headerTimeout bounds the wait for a registry's answer: one that accepts and stays silent would hold us for ever.
const headerTimeout = 30 * time.Second

// registry is a repository of a registry as a source (OCI distribution spec 1.1).
type registry struct {
	client *http.Client
	repo   name.Repository
}

func readRegistry(ctx context.Context, ref Reference, opts Options) (*Image, error) {
	r, err := name.ParseReference(ref.Name, name.WeakValidation)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.reference", "image: got %q, want a registry reference", clip(ref.Name)).WithHint(sourcesHint)
	}
	src, err := connect(ctx, r.Context(), opts)
	if err != nil {
		return nil, err
	}
	root, err := src.root(ctx, r)
	if err != nil {
		return nil, err
	}
	return choose(ctx, src, []ocispec.Descriptor{root}, opts.Platform, ref.Name)
}

func connect(ctx context.Context, repo name.Repository, opts Options) (*registry, error) {
	keychain := opts.Keychain
	if opts.Anonymous {
		keychain = anonymous{}
	}
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	auth, err := authn.Resolve(ctx, keychain, repo)
	if err != nil {
		// The cause may quote what a credential helper printed.
		return nil, status.New(status.PermissionDenied, "image.credentials", "the docker configuration gave no credentials for %s", repo.RegistryStr()).
			WithHint("try docker login %s, or repair the credential helper", repo.RegistryStr())
	}
	base := opts.Transport
	if base == nil {
		base = NewTransport()
	}
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, transport.NewRetry(tlsOnly{base}), []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, registryError(err, repo.Name())
	}
	return &registry{client: &http.Client{Transport: rt}, repo: repo}, nil
}

// NewTransport returns an HTTP transport with the time-outs that registries
// need. Its owner ends it with CloseIdleConnections.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: headerTimeout, KeepAlive: headerTimeout}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   headerTimeout,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       headerTimeout,
	}
}

// anonymous has credentials for nobody.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// tlsOnly refuses plain HTTP to any other machine: the library would speak it
// to private networks, and a redirect may ask for it.
type tlsOnly struct{ next http.RoundTripper }

func (t tlsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	ip := net.ParseIP(host)
	if r.URL.Scheme != "https" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, status.New(status.PermissionDenied, "image.registry_tls", "%s would be spoken to without TLS, want https", clip(host)).
			WithHint("give the registry a certificate, or save the image to a file and use docker-archive:FILE")
	}
	return t.next.RoundTrip(r)
}

func (r *registry) where(d ocispec.Descriptor) string { return r.repo.Name() + "@" + d.Digest.String() }

func (r *registry) get(ctx context.Context, kind, id, what string) (*http.Response, error) {
	url := fmt.Sprintf("%s://%s/v2/%s/%s/%s", r.repo.Scheme(), r.repo.RegistryStr(), r.repo.RepositoryStr(), kind, id)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.reference", "%s is no address", what)
	}
	// Without this net/http would undo the gzip of a layer that is served as a gzip encoding.
	req.Header.Set("Accept-Encoding", "identity")
	if kind == "manifests" {
		req.Header.Set("Accept", strings.Join([]string{MediaTypeIndex, MediaTypeManifest, dockerIndex, dockerManifest}, ", "))
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, registryError(err, what)
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		resp.Body.Close()
		return nil, registryError(err, what)
	}
	return resp, nil
}

// root fetches what a tag or digest names and returns its descriptor, so that
// from here on everything goes by digest.
func (r *registry) root(ctx context.Context, ref name.Reference) (ocispec.Descriptor, error) {
	resp, err := r.get(ctx, "manifests", ref.Identifier(), ref.Name())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(resp.Body, MaxManifest+1))
	if err != nil {
		return ocispec.Descriptor{}, registryError(err, ref.Name())
	}
	if n > MaxManifest {
		return ocispec.Descriptor{}, status.New(status.InvalidArgument, "image.size", "the manifest of %s has more than %d bytes", ref.Name(), MaxManifest)
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil))), Size: n}
	if _, ok := ref.(name.Digest); ok && ref.Identifier() != d.Digest.String() {
		return ocispec.Descriptor{}, status.New(status.InvalidArgument, "image.digest", "%s was altered: its digest is %s, want %s", ref.Name(), d.Digest, clip(ref.Identifier()))
	}
	if !isIndex(mediaType) && !isManifest(mediaType) {
		return ocispec.Descriptor{}, status.New(status.InvalidArgument, "image.not_an_image", "%s has media type %q, want an image manifest or index", ref.Name(), clip(mediaType))
	}
	return d, nil
}

func (r *registry) open(ctx context.Context, d ocispec.Descriptor, manifest bool) (io.ReadCloser, error) {
	kind := "blobs"
	if manifest {
		kind = "manifests"
	}
	resp, err := r.get(ctx, kind, d.Digest.String(), r.where(d))
	if err != nil {
		return nil, err
	}
	return &closers{Reader: body{resp.Body, r.where(d)}, close: []io.Closer{resp.Body}}, nil
}

// body classifies what goes wrong in the middle of a download.
type body struct {
	r    io.Reader
	what string
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = registryError(err, b.what)
	}
	return n, err
}

// registryError classifies an error of a registry. What the registry says is a
// stranger's text and stays a private cause.
func registryError(err error, what string) error {
	var (
		answer     *transport.Error
		classified *status.Error
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("fetching %s: %w", what, err)
	case errors.As(err, &classified):
		return classified
	case !errors.As(err, &answer):
		return status.Wrap(sealed{err}, status.Unavailable, "image.registry", "the registry could not be reached for %s", what).
			WithHint("check the name of the registry and the network")
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return status.Wrap(sealed{err}, status.NotFound, "image.not_found", "the registry has no %s", what).WithHint("check the name and the tag")
	case http.StatusUnauthorized, http.StatusForbidden:
		return status.Wrap(sealed{err}, status.PermissionDenied, "image.credentials", "the registry refuses %s: it is private, or does not exist", what).
			WithHint("check the name, and log in with docker login")
	}
	return status.Wrap(sealed{err}, status.Unavailable, "image.registry", "the registry answered %d for %s", answer.StatusCode, what)
}

// sealed keeps a stranger's error for errors.As but bounds its text.
type sealed struct{ err error }

func (s sealed) Error() string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, clip(s.err.Error()))
}

func (s sealed) Unwrap() error { return s.err }
