package direct

import (
	"encoding/base64"

	"apocryph/manifest"
	"apocryph/proto/strictjson"
)

// secretVolume is the content of a secret volume, before its name is known. A
// value of it is never in a fault: what is refused is named, and not shown.
type secretVolume struct {
	// mount is its position among the volumes.
	mount int
	files map[string][]byte
}

// secret reads a secret volume: its files come in the document, since nothing is
// read from the provider's own disk. The rest is returned as package manifest
// reads it, which asks where a secret is from.
func (r *reader) secret(v strictjson.Value) (strictjson.Value, map[string][]byte) {
	out := object(v)
	for _, m := range v.Members {
		switch m.Name {
		case "files":
		case "source":
			r.refuse(m.Value, "a source", "files: what they hold is sent here, and not read from the provider's disk")
		default:
			out.Members = append(out.Members, m)
		}
	}
	files := v.Member("files")
	out.Members = append(out.Members, strictjson.Member{Name: "source", Value: text(files, "files")})
	switch {
	case !given(files):
		r.refuse(files, "nothing", `an object of file names and what they hold: text, or {"base64": TEXT}`)
		return out, nil
	case files.Kind != strictjson.Object:
		r.refuse(files, files.Kind.String(), `an object of file names and what they hold: text, or {"base64": TEXT}`)
		return out, nil
	}
	all := map[string][]byte{}
	for _, f := range files.Members {
		all[f.Name] = r.secretFile(f.Value)
	}
	for _, f := range manifest.SecretFaults(files.Pointer, all) {
		r.refuse(files, f.Got, "%s", f.Want)
	}
	return out, all
}

// secretFile is what one file holds.
func (r *reader) secretFile(v strictjson.Value) []byte {
	encoded := v.Member("base64")
	switch {
	case v.Kind == strictjson.String:
		return []byte(v.Text)
	case v.Kind != strictjson.Object || len(v.Members) != 1 || encoded.Kind != strictjson.String:
		r.refuse(v, v.Kind.String(), `text, or {"base64": TEXT}`)
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(encoded.Text)
	if err != nil {
		r.refuse(encoded, "text that is no base64", "base64 with the alphabet and the padding of RFC 4648, 4")
	}
	return b
}

// secretsOf gives the secrets of a pod's volumes their names.
func (c *container) secretsOf(m *manifest.Manifest) map[string]map[string][]byte {
	if m == nil || len(c.secrets) == 0 {
		return nil
	}
	out := map[string]map[string][]byte{}
	for _, s := range c.secrets {
		out[m.Containers[0].Mounts[s.mount].Volume] = s.files
	}
	return out
}

// containers refuses the containers of a pod file.
func (r *reader) containers(v strictjson.Value) {
	if v.Kind != strictjson.Absent {
		r.faults = append(r.faults, v.Fault("containers", "the fields of one container beside name: an app is one container here; a pod of several is deployed with publisher deploy --provider"))
	}
}
