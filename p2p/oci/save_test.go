package oci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

// drain reads all layers and returns the first error.
func drain(t *testing.T, img *Image) error {
	t.Helper()
	for _, l := range img.Layers {
		rc, err := l.Open(t.Context())
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, rc)
		if closeErr := rc.Close(); closeErr != nil {
			t.Error(closeErr)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dockerSave is img as docker save before version 25 writes it: layers by id,
// with a link where a layer is there twice.
func dockerSave(t testing.TB, tag string, images ...*Image) []byte {
	t.Helper()
	var (
		files []tarFile
		saved []savedImage
	)
	for n, img := range images {
		hex := strings.TrimPrefix(img.ID(), "sha256:")
		s := savedImage{Config: hex + ".json"}
		if tag != "" {
			s.RepoTags = []string{tag}
		}
		files = append(files, tarFile{name: s.Config, data: img.Config})
		seen := map[string]string{}
		for i, l := range img.Layers {
			file := fmt.Sprintf("%d-%d/layer.tar", n, i)
			if first, ok := seen[l.Digest]; ok {
				files = append(files, tarFile{name: file, link: "../" + first})
			} else {
				seen[l.Digest] = file
				files = append(files, tarFile{name: file, data: bytesOf(t, l)})
			}
			s.Layers = append(s.Layers, file)
		}
		saved = append(saved, s)
	}
	return tarOf(t, append(files, tarFile{name: "manifest.json", data: toJSON(t, saved)})...)
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sampleTwice has the first layer of img twice.
func sampleTwice(t *testing.T, img *Image) *Image {
	t.Helper()
	l := img.Layers[0]
	img.Layers = []Layer{l, l}
	img.Config = toJSON(t, map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{l.Digest, l.Digest}}})
	return img
}

func flip(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)/2] ^= 1
	return data
}
