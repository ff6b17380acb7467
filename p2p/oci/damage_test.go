package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"apocryph/proto/status"
)

// TestDamage alters, cuts, grows and removes each file of a layout in turn.
func TestDamage(t *testing.T) {
	img := sample(t, amd64, "one", "two")
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for what, digest := range map[string]string{"manifest": digestOf(manifest), "config": img.ID(), "layer": img.Layers[1].Digest} {
		for how, damage := range map[string]func([]byte) []byte{
			"altered":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			"truncated": func(b []byte) []byte { return b[:len(b)-1] },
			"longer":    func(b []byte) []byte { return append(b, 0) },
			"missing":   nil,
		} {
			t.Run(fmt.Sprint(what, " ", how), func(t *testing.T) {
				dir := t.TempDir()
				writeLayout(t, dir, Tagged{"", img})
				path := filepath.Join(dir, blobName(digest))
				code := status.InvalidArgument
				if damage == nil {
					code = status.NotFound
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				} else {
					data, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					write(t, path, damage(data))
				}
				got, err := read(t, "oci:"+dir, Options{Platform: amd64})
				if err == nil {
					err = drain(t, got)
				}
				refused(t, err, code, path, how)
			})
		}
	}
}

// TestWrongSizeIsFoundAtOnce: nobody reads gigabytes to hear that one is missing.
func TestWrongSizeIsFoundAtOnce(t *testing.T) {
	dir := t.TempDir()
	img := sample(t, amd64, "one")
	writeLayout(t, dir, Tagged{"", img})
	got := mustRead(t, "oci:"+dir, Options{Platform: amd64})
	path := filepath.Join(dir, blobName(img.Layers[0].Digest))
	for what, size := range map[string]int64{"truncated": 1, "longer": 1 << 20} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		_, err := got.Layers[0].Open(t.Context())
		refused(t, err, status.InvalidArgument, path, what)
	}
}
