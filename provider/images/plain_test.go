package images

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/ipfs/go-cid"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// TestPlain reads a public image by its CID, from a store that has it.
func TestPlain(t *testing.T) {
	n := newNode(t)
	req, layers := n.publish(t)
	root, err := cid.Decode(req.CID)
	if err != nil {
		t.Fatal(err)
	}
	img, err := Plain(t.Context(), n.store, root, oci.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if img.ID() != req.ImageID || img.Source != "ipfs:"+req.CID || len(img.Layers) != len(layers) {
		t.Fatalf("got %+v", img)
	}
	for i, l := range img.Layers {
		r, err := l.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := r.(interface{ Verifies() string }); !ok || v.Verifies() != l.Digest {
			t.Errorf("layer %d is held to another digest", i)
		}
		b, err := io.ReadAll(r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || !bytes.Equal(b, layers[i]) {
			t.Errorf("layer %d: %d bytes, %v", i, len(b), err)
		}
	}
	if _, err := Plain(t.Context(), n.store, root, oci.Platform{OS: "linux", Architecture: "riscv64"}); status.ReasonOf(err) != "image.platform" {
		t.Errorf("for another machine: %v", err)
	}
	// What nobody has ends with who asks.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Plain(ctx, n.store, cid.MustParse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"), oci.Platform{OS: "linux", Architecture: "amd64"}); err == nil {
		t.Error("an image that is nowhere was read")
	}
}
