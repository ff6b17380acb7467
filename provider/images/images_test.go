package images

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/manifest"
	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
	"apocryph/proto/status"
	"apocryph/provider"
)

// node is a content store on a loopback host of its own.
type node struct {
	host  host.Host
	store *content.Store
	dir   string
}

func newNode(t *testing.T) *node {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{host: h, dir: t.TempDir()}
	if n.store, err = content.New(content.Config{Dir: n.dir, Host: h}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	<-n.store.Serving()
	return n
}

// publish makes an image of two layers at n and returns its request.
func (n *node) publish(t *testing.T) (provider.ImageRequest, [][]byte) {
	t.Helper()
	digest := func(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
	config := []byte(`{"architecture":"amd64","os":"linux"}`)
	var layers [][]byte
	var blobs []manifest.Blob
	var descs []ipdr.Descriptor
	for _, size := range []int{3 << 20, 5000} {
		b := make([]byte, size)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		path := n.store.BlobPath(digest(b))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, b)
		blobs = append(blobs, manifest.Blob{Digest: digest(b), Size: int64(size), Path: path})
		descs = append(descs, ipdr.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+encrypted", Digest: digest(b), Size: int64(size)})
	}
	m, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": ipdr.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: digest(config), Size: int64(len(config))},
		"layers": descs,
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := ipdr.Build(t.Context(), n.store, ipdr.Image{Manifest: m, Config: config, Layers: blobs})
	if err != nil {
		t.Fatal(err)
	}
	return provider.ImageRequest{
		Image: manifest.Image{CID: root.String(), EncryptedDigest: digest(m), ImageID: digest(config)},
		Peer:  provider.PublisherID(n.host.ID().String()),
	}, layers
}

func (n *node) grant(t *testing.T, root string, to *node) {
	t.Helper()
	c, err := cid.Decode(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.store.Grant(c, to.host.ID()); err != nil {
		t.Fatal(err)
	}
	if err := to.host.Connect(t.Context(), peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

func (n *node) blobs(t *testing.T) (names []string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Join(n.dir, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestFetchAndRelease(t *testing.T) {
	pub, prov := newNode(t), newNode(t)
	req, layers := pub.publish(t)
	pub.grant(t, req.CID, prov)
	images := New(prov.store)
	for round := range 2 { // the second time all is here
		ctx, cancel := context.WithCancel(t.Context())
		var last atomic.Pointer[provider.Progress]
		img, err := images.Fetch(ctx, provider.InstanceID(fmt.Sprint("pod-", round)), req, func(p provider.Progress) { last.Store(&p) })
		if err != nil {
			t.Fatal(err)
		}
		for n, l := range img.Layers {
			r, err := l.Open(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, r.Size())
			if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, layers[n]) {
				t.Fatalf("layer %d differs: %v", n, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := img.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if p := last.Load(); p == nil || p.Total != uint64(len(layers[0])+len(layers[1])) {
			t.Errorf("progress: %+v", p)
		}
		img.Close()
		cancel()
	}
	if err := images.Release(t.Context(), "pod-0"); err != nil {
		t.Fatal(err)
	}
	if n := len(prov.blobs(t)); n != 2 {
		t.Errorf("%d blobs while another pod needs them", n)
	}
	if err := images.Release(t.Context(), "pod-1"); err != nil {
		t.Fatal(err)
	}
	if left := prov.blobs(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := images.Release(t.Context(), "nobody"); err != nil {
		t.Error(err)
	}
}

// TestNobodyNamed asks nobody for an image when nobody is named who has it, and
// needs nobody once it is here.
func TestNobodyNamed(t *testing.T) {
	pub, prov := newNode(t), newNode(t)
	req, _ := pub.publish(t)
	pub.grant(t, req.CID, prov)
	nobody := req
	nobody.Peer = ""
	for _, step := range []struct {
		req  provider.ImageRequest
		code status.Code
	}{{nobody, status.Unavailable}, {req, status.OK}, {nobody, status.OK}} {
		ctx, cancel := context.WithCancel(t.Context())
		img, err := New(prov.store).Fetch(ctx, "pod", step.req, func(provider.Progress) {})
		if got := status.CodeOf(err); got != step.code {
			t.Errorf("peer %q: %v: %v, want %v", step.req.Peer, err, got, step.code)
		}
		if err == nil {
			if err := img.Wait(ctx); err != nil {
				t.Error(err)
			}
			img.Close()
		}
		cancel()
	}
}

func TestRefusals(t *testing.T) {
	pub, prov := newNode(t), newNode(t)
	req, _ := pub.publish(t)
	pub.grant(t, req.CID, prov)
	other := "sha256:" + strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		change func(*provider.ImageRequest)
		code   status.Code
	}{
		"no cid":         {func(r *provider.ImageRequest) { r.CID = "x" }, status.InvalidArgument},
		"another id":     {func(r *provider.ImageRequest) { r.ImageID = other }, status.Untrusted},
		"another digest": {func(r *provider.ImageRequest) { r.EncryptedDigest = other }, status.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			r := req
			c.change(&r)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			img, err := New(prov.store).Fetch(ctx, "pod", r, func(provider.Progress) {})
			if err == nil {
				img.Close()
			}
			if got := status.CodeOf(err); got != c.code {
				t.Errorf("%v: %v, want %v", err, got, c.code)
			}
		})
	}
}
