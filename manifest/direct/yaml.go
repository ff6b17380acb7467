package direct

import (
	"errors"
	"path"
	"regexp"
	"strconv"
	"strings"

	"apocryph/manifest/internal/strictyaml"
	"apocryph/proto/status"
	"apocryph/proto/strictjson"
)

// maxFields bounds the fields of a mapping and the elements of a list in a file.
// The largest list of a manifest has fewer.
const maxFields = 512

// jsonNumber is a number of RFC 8259; YAML has more forms.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// file is a manifest in a repository.
type file struct {
	document
	Directory strictjson.Value `json:"directory"`
}

// ParseYAML reads a manifest from a file of a repository: the fields of [Parse] in
// YAML, and with "directory" the app's files, beside the file itself by default.
// What says where the source is (source, ref, commit_sha) is refused: it is the
// commit that has the file. Errors are manifest.invalid, with lines.
func ParseYAML(b []byte, defaults Defaults) (*Manifest, error) {
	doc, root := strictyaml.Parse(b, MaxBytes)
	v := valueOf(doc, root, "")
	if faults := doc.Faults(); len(faults) > 0 {
		out := make([]status.Fault, 0, len(faults))
		for _, f := range faults {
			out = append(out, status.Fault{Field: f.Field, Got: f.Got, Want: f.Want, Line: f.Line})
		}
		return nil, status.Invalid("manifest.invalid", "the manifest", out)
	}
	var r reader
	var d file
	err := strictjson.Fill(&v, &d)
	var e *status.Error
	switch {
	case err == nil:
	case errors.As(err, &e) && v.Kind == strictjson.Object:
		r.faults = e.Faults
	default:
		return nil, err
	}
	for _, from := range []strictjson.Value{d.Source, d.Ref, d.CommitSHA, d.ArtifactID} {
		if given(from) {
			r.refuse(from, "a source", "none: it is the commit that has this file")
		}
	}
	d.Source, d.Ref, d.CommitSHA, d.ArtifactID = strictjson.Value{}, strictjson.Value{}, strictjson.Value{}, strictjson.Value{}
	directory := r.directory(d.Directory)
	m, err := d.manifest(&r, defaults)
	if err != nil {
		return nil, err
	}
	m.Directory = directory
	return m, nil
}

// directory is a path below the file's own, "." by default.
func (r *reader) directory(v strictjson.Value) string {
	s := r.text(v)
	if s == "" {
		return "."
	}
	clean := path.Clean(s)
	if path.IsAbs(s) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(s, "\\\x00") || len(s) > maxPath {
		r.refuse(v, quoted(s), "a directory beside the file or below it")
		return "."
	}
	return clean
}

// valueOf is a node as JSON would have it.
func valueOf(doc *strictyaml.Doc, n strictyaml.Node, pointer string) strictjson.Value {
	v := strictjson.Value{Pointer: pointer, Line: max(n.Line(), 1)}
	kind, text := n.Scalar()
	switch {
	case n.IsMap():
		v.Kind = strictjson.Object
		for _, e := range doc.Map(n, maxFields) {
			v.Members = append(v.Members, strictjson.Member{Name: e.Key, Value: valueOf(doc, e.Value, strictjson.Join(pointer, e.Key))})
		}
	case n.IsList():
		v.Kind = strictjson.List
		for i, e := range doc.List(n, maxFields) {
			v.Elems = append(v.Elems, valueOf(doc, e, pointer+"/"+strconv.Itoa(i)))
		}
	case kind == "null":
		v.Kind = strictjson.Null
	case kind == "bool":
		v.Kind, v.Text = strictjson.Bool, strings.ToLower(text)
	case (kind == "int" || kind == "float") && jsonNumber.MatchString(text):
		v.Kind, v.Text = strictjson.Number, text
	case kind != "":
		// A time, a number in another form: text, unless a field wants something else.
		v.Kind = strictjson.String
		v.Text, _ = doc.Text(n)
	}
	return v
}
