package direct

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"apocryph/proto/status"
	"apocryph/proto/strictjson"
)

const (
	// maxFaults is what a peer may send, see status.FromPeer.
	maxFaults = 64

	// maxName is that of a manifest.
	maxName = 40
	maxPath = 1024

	// maxLabels and the two below bound what is stored with each deployment.
	maxLabels     = 64
	maxLabelName  = 128
	maxLabelValue = 256
)

var (
	labelPattern  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	commitPattern = regexp.MustCompile(`^[0-9a-fA-F]{7,64}$`)
	uuidPattern   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$`)
)

// reader collects the faults of one document.
type reader struct{ faults []status.Fault }

// decode fills dst. The error is that of a text that is no JSON, or no object, or
// nested too deep: there is nothing else to say about those.
func (r *reader) decode(b []byte, dst any) error {
	err := strictjson.Decode(b, dst, strictjson.Options{MaxBytes: MaxBytes, MaxDepth: maxDepth, MaxValues: maxValues})
	var e *status.Error
	if errors.As(err, &e) && e.Reason == "json.invalid" && !slices.ContainsFunc(e.Faults, func(f status.Fault) bool { return f.Field == "document" }) {
		r.faults = e.Faults
		return nil
	}
	return err
}

func (r *reader) err(reason, what string) error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b status.Fault) int { return a.Line - b.Line })
	return status.Invalid(reason, what, r.faults[:min(len(r.faults), maxFaults)])
}

func (r *reader) refuse(v strictjson.Value, got, want string, args ...any) {
	r.faults = append(r.faults, v.Fault(got, fmt.Sprintf(want, args...)))
}

// merge adds a fault of the manifest, unless its place, one above or one below is
// refused already: the one is likely to follow from the other.
func (r *reader) merge(f status.Fault) {
	for _, other := range r.faults {
		if f.Field == other.Field || strings.HasPrefix(f.Field, other.Field+"/") || strings.HasPrefix(other.Field, f.Field+"/") {
			return
		}
	}
	r.faults = append(r.faults, f)
}

// given reports whether a member is there; null is not.
func given(v strictjson.Value) bool { return v.Kind != strictjson.Absent && v.Kind != strictjson.Null }

// text returns text, or "" with a fault for anything else that is there.
func (r *reader) text(v strictjson.Value) string {
	switch {
	case !given(v):
		return ""
	case v.Kind != strictjson.String:
		r.refuse(v, v.Kind.String(), "text")
		return ""
	case v.Text == "":
		r.refuse(v, "nothing", "text, or no such field")
	}
	return v.Text
}

func quoted(s string) string {
	const limit = 60
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}

func (r *reader) label(v strictjson.Value, s string, limit int) {
	if len(s) > limit || !labelPattern.MatchString(s) {
		r.refuse(v, quoted(s), "a DNS label in lower case of at most %d characters", limit)
	}
}

// environment checks that the pod of an environment other than production, which
// is named after both, has a name.
func (r *reader) environment(v strictjson.Value, name, environment string) {
	if pod := name + "--" + environment; environment != Production && len(pod) > maxName {
		r.refuse(v, quoted(environment), "at most %d characters together with the app's name and --", maxName)
	}
}

func (r *reader) entry(v strictjson.Value) string {
	s := r.text(v)
	if s != "" && (!fs.ValidPath(s) || len(s) > maxPath || strings.IndexFunc(s, unicode.IsControl) >= 0) {
		r.refuse(v, quoted(s), `a path within the uploaded files, without "..", "./" or a slash in front`)
	}
	return s
}

// files are the forms of an image reference that name files of the machine that
// reads it, or ask one of its programs.
var files = []string{"oci", "oci-archive", "docker-archive", "dir", "file", "docker-daemon", "containers-storage", "tarball", "sif", "ostree"}

func (r *reader) image(v strictjson.Value) string {
	s := r.text(v)
	scheme, _, _ := strings.Cut(s, ":")
	if s != "" && (slices.Contains(files, strings.ToLower(scheme)) || strings.Contains(s, "://") || strings.ContainsAny(s[:1], "./~\\")) {
		r.refuse(v, quoted(s), "a registry reference or ipfs:CID; upload a file instead of naming it")
	}
	return s
}

func (r *reader) commit(v strictjson.Value) string {
	s := r.text(v)
	if s != "" && !commitPattern.MatchString(s) {
		r.refuse(v, quoted(s), "7 to 64 hexadecimal digits")
	}
	return strings.ToLower(s)
}

func (r *reader) labels(v strictjson.Value) map[string]string {
	if !given(v) {
		return nil
	}
	if v.Kind != strictjson.Object {
		r.refuse(v, v.Kind.String(), "an object of text")
		return nil
	}
	if len(v.Members) > maxLabels {
		r.refuse(v, fmt.Sprintf("%d labels", len(v.Members)), "at most %d", maxLabels)
		return nil
	}
	out := map[string]string{}
	for _, m := range v.Members {
		switch {
		case len(m.Name) > maxLabelName || !namePattern.MatchString(m.Name):
			r.refuse(m.Value, quoted(m.Name), "a name of letters, digits and . _ / - of at most %d characters", maxLabelName)
		case m.Value.Kind != strictjson.String:
			r.refuse(m.Value, m.Value.Kind.String(), "text")
		case len(m.Value.Text) > maxLabelValue || strings.IndexFunc(m.Value.Text, unicode.IsControl) >= 0:
			r.refuse(m.Value, fmt.Sprintf("%d bytes", len(m.Value.Text)), "at most %d bytes of text without control characters", maxLabelValue)
		}
		out[m.Name] = m.Value.Text
	}
	return out
}
