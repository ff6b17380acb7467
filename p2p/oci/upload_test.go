package oci

import (
	"bytes"
	"testing"

	"apocryph/proto/status"

	"github.com/google/go-cmp/cmp"
)

// TestReadArchive: what an archive is, is told by its content.
func TestReadArchive(t *testing.T) {
	dir := t.TempDir()
	img := sample(t, amd64, "one", "two")
	writeLayout(t, dir, Tagged{Image: img})
	for name, data := range map[string][]byte{
		"oci": tarDir(t, dir), "oci, gzip": gzipOf(t, tarDir(t, dir)), "oci, zstd": zstdOf(t, tarDir(t, dir)),
		"docker": dockerSave(t, "", img), "docker, gzip": gzipOf(t, dockerSave(t, "", img)),
	} {
		t.Run(name, func(t *testing.T) {
			// What lies around the archive does not matter.
			got, err := ReadArchive(t.Context(), bytes.NewReader(append(bytes.Clone(data), "more"...)), int64(len(data)), "upload", amd64)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(contentsOf(t, img), contentsOf(t, got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadArchiveRefuses(t *testing.T) {
	img := sample(t, amd64, "one")
	saved := dockerSave(t, "", img)
	for name, tt := range map[string]struct {
		data     []byte
		platform Platform
		want     string
	}{
		"no image":         {tarOf(t, tarFile{name: "main", data: []byte("x")}), amd64, "neither index.json nor manifest.json"},
		"no archive":       {[]byte("hello"), amd64, "upload is no tar archive"},
		"nothing":          {nil, amd64, "upload is no tar archive"},
		"no platform":      {saved, Platform{}, "platform: got nothing"},
		"another platform": {saved, Platform{OS: "linux", Architecture: "s390x"}, "s390x"},
		"cut":              {saved[:1100], amd64, "damaged or truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadArchive(t.Context(), bytes.NewReader(tt.data), int64(len(tt.data)), "upload", tt.platform)
			refused(t, err, status.InvalidArgument, tt.want)
		})
	}
}
