package images

import (
	"context"
	"net/http"
	"strings"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// Fetcher gets an image that is on IPFS.
type Fetcher interface {
	Fetch(ctx context.Context, cid string) (*publisher.Image, error)
}

// Config of a [Resolver].
type Config struct {
	// Fetcher serves "ipfs:CID"; nil refuses it.
	Fetcher Fetcher
	// Transport reaches registries; nil is [oci.NewTransport].
	Transport http.RoundTripper
}

// Resolver resolves references; it is a [publisher.Resolver].
type Resolver struct {
	fetcher   Fetcher
	transport http.RoundTripper
	close     func()
}

var _ publisher.Resolver = (*Resolver)(nil)

// New returns a Resolver.
func New(cfg Config) *Resolver {
	r := &Resolver{fetcher: cfg.Fetcher, transport: cfg.Transport, close: func() {}}
	if r.transport == nil {
		t := oci.NewTransport()
		r.transport, r.close = t, t.CloseIdleConnections
	}
	return r
}

// Close ends the connections to registries. Layers that are being read go on.
func (r *Resolver) Close() { r.close() }

// maxCID bounds the text of a content identifier; CIDv1 of SHA-256 has 59 characters, other hashes more.
const maxCID = 256

// Resolve finds the image that ref names for a platform such as "linux/amd64";
// relative paths are relative to dir. The layers' readers fail when the bytes
// differ from their digest. The errors are those of [oci.Read].
func (r *Resolver) Resolve(ctx context.Context, ref, dir, platform string) (*publisher.Image, error) {
	if cid, ok := strings.CutPrefix(ref, "ipfs:"); ok {
		return r.fetch(ctx, ref, strings.TrimPrefix(cid, "//"))
	}
	want, err := oci.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	parsed, err := oci.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	found, err := oci.Read(ctx, parsed, oci.Options{Dir: dir, Platform: want, Transport: r.transport})
	if err != nil {
		return nil, err
	}
	img := &publisher.Image{
		Source: ref, Config: found.Config, ConfigMediaType: found.ConfigMediaType, Annotations: found.Annotations,
	}
	for _, l := range found.Layers {
		img.Layers = append(img.Layers, publisher.Layer{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Open: l.Open})
	}
	return img, nil
}

func (r *Resolver) fetch(ctx context.Context, ref, cid string) (*publisher.Image, error) {
	if cid == "" || len(cid) > maxCID || strings.ContainsFunc(cid, notAlphanumeric) {
		return nil, status.New(status.InvalidArgument, "image.reference", "image: got %.128q, want ipfs: and a CID", ref)
	}
	if r.fetcher == nil {
		return nil, status.New(status.Unimplemented, "image.ipfs", "%s cannot be fetched: this command has no IPFS node", ref).
			WithHint("save the image to a file and use oci-archive:FILE or docker-archive:FILE")
	}
	img, err := r.fetcher.Fetch(ctx, cid)
	if err != nil {
		return nil, err
	}
	// The fetcher's image may be shared; only the name is ours.
	named := *img
	named.Source = ref
	return &named, nil
}

func notAlphanumeric(c rune) bool {
	return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
}
