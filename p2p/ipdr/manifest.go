package ipdr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"apocryph/proto/status"
)

// strictJSON decodes one JSON value and refuses what parsers disagree about:
// names that are there twice, or that differ in case from a known one, and
// anything after the value. Unknown names are allowed: the formats are open.
func strictJSON(b []byte, v any) error {
	if err := checkNames(json.NewDecoder(bytes.NewReader(b))); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// maxNesting bounds nested values, so that a stranger's brackets do not grow the stack.
const maxNesting = 64

func checkNames(d *json.Decoder) error {
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func checkValue(d *json.Decoder, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("JSON nested deeper than %d", maxNesting)
	}
	t, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]struct{}{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			// encoding/json matches names without case: fold as it does.
			s := string(bytes.ToLower(bytes.ToUpper([]byte(name.(string)))))
			if _, dup := seen[s]; dup {
				return fmt.Errorf("JSON name %.64q is there twice", name)
			}
			seen[s] = struct{}{}
		}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// parseManifest decodes and validates an image manifest, all faults at once.
func parseManifest(b []byte) (imageManifest, error) {
	var m imageManifest
	if len(b) > maxManifest {
		return m, tooBig("manifest", int64(len(b)), maxManifest)
	}
	if err := strictJSON(b, &m); err != nil {
		return m, status.Wrap(err, status.InvalidArgument, "image.manifest", "the manifest is not valid JSON")
	}
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	if m.SchemaVersion != 2 {
		fault("schemaVersion", fmt.Sprint(m.SchemaVersion), "2")
	}
	if m.MediaType != "" && m.MediaType != ociManifest && m.MediaType != dockerV2 {
		fault("mediaType", fmt.Sprintf("%.80q", m.MediaType), ociManifest)
	}
	if m.Manifests != nil {
		fault("manifests", "an index", "an image of one platform")
	}
	if len(m.Layers) > maxLayers {
		fault("layers", fmt.Sprint(len(m.Layers)), fmt.Sprintf("at most %d", maxLayers))
	}
	check := func(field string, d Descriptor, limit int64) {
		if _, ok := hexOf(d.Digest); !ok {
			fault(field+".digest", fmt.Sprintf("%.80q", d.Digest), "sha256: and 64 hex digits")
		}
		if d.Size < 0 || d.Size > limit {
			fault(field+".size", fmt.Sprint(d.Size), fmt.Sprintf("0 to %d", limit))
		}
	}
	check("config", m.Config, maxConfig)
	for i, l := range m.Layers[:min(len(m.Layers), maxLayers)] {
		check(fmt.Sprintf("layers[%d]", i), l, maxLayer)
	}
	if len(faults) > 0 {
		return m, status.Invalid("image.manifest", "image manifest", faults)
	}
	return m, nil
}

func tooBig(what string, got, want int64) error {
	return status.New(status.InvalidArgument, "image.too_big", "the %s has %d bytes, at most %d are allowed", what, got, want)
}
