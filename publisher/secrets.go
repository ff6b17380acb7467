package publisher

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"apocryph/manifest"
	"apocryph/proto/status"
)

// ReadSecrets reads the files of the manifest's secret volumes, by volume and file
// name; relative paths are below dir. All faults are in the one error,
// invalid_argument "manifest.secrets", and no fault shows a byte of a secret.
func ReadSecrets(m *manifest.Manifest, dir string) (map[string]map[string][]byte, error) {
	out := map[string]map[string][]byte{}
	var faults []status.Fault
	for i, v := range m.Volumes {
		if v.Kind != manifest.Secret {
			continue
		}
		path := v.Source
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		files, err := readSecret(path)
		if err != nil {
			var pe *os.PathError
			got := err.Error()
			if errors.As(err, &pe) {
				got = pe.Err.Error()
			}
			faults = append(faults, status.Fault{Field: fmt.Sprintf("volumes[%d].source", i), Got: fmt.Sprintf("%s: %s", v.Source, got), Want: "a readable file or a directory of files"})
			continue
		}
		faults = append(faults, manifest.SecretFaults(fmt.Sprintf("volumes[%d].source", i), files)...)
		out[v.Name] = files
	}
	if len(faults) > 0 {
		return nil, status.Invalid("manifest.secrets", "the manifest's secrets", faults)
	}
	return out, nil
}

// readSecret reads a file, or the regular files directly in a directory.
func readSecret(path string) (map[string][]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	names := []string{path}
	if st.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		names = nil
		for _, e := range entries {
			if e.Type().IsRegular() {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
	}
	if len(names) > manifest.MaxSecretFiles {
		return nil, fmt.Errorf("%d files, want at most %d", len(names), manifest.MaxSecretFiles)
	}
	files := map[string][]byte{}
	left := int64(manifest.MaxSecretBytes)
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(f, left+1))
		f.Close()
		if err != nil {
			return nil, err
		}
		if left -= int64(len(b)); left < 0 {
			return nil, fmt.Errorf("more than %d bytes", manifest.MaxSecretBytes)
		}
		files[filepath.Base(name)] = b
	}
	return files, nil
}
