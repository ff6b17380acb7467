package detect

import (
	"encoding/json"
	"fmt"
	"strings"

	"apocryph/manifest/internal/strictyaml"
	"apocryph/proto/status"
)

// labelName is the label that names what to run.
const labelName = "ENTRYPOINT"

// projectFiles may have labels. Those of the second are of other systems too,
// so what is not understood of it is no fault.
var projectFiles = []string{"apocryph.yaml", "project.json"}

// label is rule 2.
func (f *finder) label() (*Plan, error) {
	var where, text string
	note := func(file, value string) {
		switch {
		case where == "":
			where, text = file, value
		case value != text:
			f.warnings = append(f.warnings, fmt.Sprintf("%s has another label %s, which is not used: that of %s comes first", file, labelName, where))
		}
	}
	for _, file := range projectFiles {
		if !f.isFile(file) {
			f.missed(file+": labels."+labelName, "no such file", "a label")
			continue
		}
		value, err := f.projectLabel(file)
		switch {
		case err != nil && file != projectFiles[0] && status.ReasonOf(err) == "entrypoint.malformed":
			f.warnings = append(f.warnings, file+" cannot be read for labels")
		case err != nil:
			return nil, err
		case value == "":
			f.missed(file+": labels."+labelName, "no such label", "a label")
		default:
			note(file, value)
		}
	}
	for _, file := range dockerfiles {
		if !f.isFile(file) {
			continue
		}
		b, err := f.parsed(file)
		if err != nil {
			return nil, err
		}
		value, line := dockerLabel(string(b))
		switch {
		case strings.Contains(value, "$"):
			return nil, malformed(file, "LABEL "+labelName+"="+quote(value), "a value without variables", line)
		case value != "":
			note(file, value)
		default:
			f.missed(file+": LABEL "+labelName, "no such label", "a label")
		}
	}
	if where == "" {
		return nil, nil
	}
	return f.entry("label "+labelName+" of "+where, text)
}

// projectLabel reads labels.ENTRYPOINT of a project file: text, or a list of
// words, which becomes a JSON array. Its other fields are for others.
func (f *finder) projectLabel(file string) (string, error) {
	b, err := f.parsed(file)
	if err != nil {
		return "", err
	}
	const maxFields = 256
	d, root := strictyaml.Parse(b, maxFile)
	text := ""
	if root.IsMap() {
		for _, e := range d.Map(root, maxFields) {
			if e.Key != "labels" {
				continue
			}
			for _, l := range d.Map(e.Value, maxFields) {
				if l.Key == labelName {
					text = labelText(d, l.Value)
				}
			}
		}
	}
	faults := d.Faults()
	if len(faults) == 0 {
		return text, nil
	}
	out := make([]status.Fault, len(faults))
	for i, fault := range faults {
		out[i] = status.Fault(fault)
	}
	return "", status.Invalid("entrypoint.malformed", file, out)
}

func labelText(d *strictyaml.Doc, n strictyaml.Node) string {
	if !n.IsList() {
		s, ok := d.String(n)
		if ok && strings.TrimSpace(s) == "" {
			d.Refuse(n, "nothing", "what to run")
		}
		return strings.TrimSpace(s)
	}
	var argv []string
	for _, e := range d.List(n, maxWords) {
		w, _ := d.String(e)
		argv = append(argv, w)
	}
	b, err := json.Marshal(argv)
	if err != nil {
		d.Refuse(n, n.Shown(), "a list of words")
	}
	return string(b)
}
