package containerd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"apocryph/proto/status"
	"apocryph/provider/containerd/attendant"
)

// findRunc returns the path of the runc to run: the configured one, the one in
// this binary, which is unpacked once per version, or the one on PATH.
func findRunc(configured string, l layout) (string, error) {
	if configured != "" {
		return configured, nil
	}
	if len(embeddedRunc) > 0 {
		return unpack(l, "runc", embeddedRunc)
	}
	path, err := exec.LookPath("runc")
	if err != nil {
		return "", status.Wrap(err, status.Unavailable, "runtime.runc", "this program was built without runc, and none is on PATH").
			WithHint("build with the tag embedrunc, install runc, or name one in the configuration")
	}
	return filepath.Abs(path)
}

// unpack writes a program that is in this one to a file, once per version.
func unpack(l layout, name string, packed []byte) (string, error) {
	// The name tells versions apart, so that containers of an older one find theirs.
	path := filepath.Join(l.bin(), name+"-"+digest.FromBytes(packed).Encoded()[:16])
	if _, err := os.Lstat(path); err == nil {
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	d, err := zstd.NewReader(bytes.NewReader(nil))
	if err != nil {
		return "", err
	}
	defer d.Close()
	binary, err := d.DecodeAll(packed, nil)
	if err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	return path, attendant.WriteFile(path, binary, 0o700)
}
