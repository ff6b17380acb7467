package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

func TestCatalog(t *testing.T) {
	pin := "registry.invalid/python@sha256:" + strings.Repeat("0", 64)
	img := &oci.Image{Digest: "sha256:" + strings.Repeat("1", 64)}
	c, err := NewCatalog(CatalogConfig{
		Images: map[string]string{"python": pin, "node": "oci:/var/lib/secret/node", "go": "ipfs:bafy"},
		Read: func(_ context.Context, ref oci.Reference, _ oci.Platform) (*oci.Image, error) {
			return img, nil
		},
		IPFS: func(_ context.Context, cid string, _ oci.Platform) (*oci.Image, error) {
			if cid != "bafy" {
				return nil, errors.New("another CID")
			}
			return img, nil
		},
	})
	must(t, err)
	for role, uri := range map[string]string{"python": pin, "node": "oci:node@" + img.Digest, "go": "ipfs:bafy"} {
		b, err := c.Base(t.Context(), role, amd64)
		if err != nil || b.URI != uri || b.Image != img {
			t.Errorf("%s: got %v, %v", role, b, err)
		}
	}
	if _, err := c.Base(t.Context(), "dockerfile", amd64); status.CodeOf(err) != status.Unavailable || status.ReasonOf(err) != "build.base" {
		t.Errorf("got %v", err)
	}
}

func TestCatalogRefusals(t *testing.T) {
	read := func(context.Context, oci.Reference, oci.Platform) (*oci.Image, error) {
		return nil, status.New(status.NotFound, "image.not_found", "there is no image at /var/lib/secret")
	}
	for name, images := range map[string]map[string]string{
		"tag":        {"python": "registry.invalid/python:3.11"},
		"no tag":     {"python": "python"},
		"role":       {"ruby": "oci:/x"},
		"part":       {"go, node": "oci:/x"},
		"empty":      {"python": ""},
		"no IPFS":    {"python": "ipfs:bafy"},
		"no path":    {"node": "oci:"},
		"bad digest": {"node": "oci:/x@sha256:00"},
	} {
		if _, err := NewCatalog(CatalogConfig{Images: images, Read: read}); status.ReasonOf(err) != "build.config" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	c, err := NewCatalog(CatalogConfig{Images: map[string]string{"python": "oci:/var/lib/secret"}, Read: read})
	must(t, err)
	_, err = c.Base(t.Context(), "python", amd64)
	if status.CodeOf(err) != status.Unavailable || strings.Contains(fmt.Sprint(status.Public(err)), "secret") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{Dir: t.TempDir()}); err != nil {
		t.Error(err)
	}
	b, err := New(Config{Dir: t.TempDir()})
	must(t, err)
	if _, err := b.Build(t.Context(), Request{Runtime: Python, FS: pythonTree(t), Plan: pythonPlan, Platform: amd64}); status.ReasonOf(err) != "build.base" {
		t.Errorf("got %v", err)
	}
}
