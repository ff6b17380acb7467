package artifacts

import (
	"crypto/rand"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"apocryph/proto/status"
)

// Caps on the texts of a record, in bytes. Records are kept in memory, and all
// of these come from strangers.
const (
	maxText     = 255
	maxLabels   = 32
	maxLabelKey = 63
	// defaultType is RFC 9110's type for bytes of which nothing is known.
	defaultType = "application/octet-stream"
)

// checked is the record of a request, or all that is wrong with it.
func checked(ns, name, contentType, by string, labels map[string]string) (Artifact, error) {
	var faults []status.Fault
	text := func(field, got string, empty bool, limit int) {
		switch {
		case got == "" && !empty:
			faults = append(faults, status.Fault{Field: field, Got: "nothing", Want: fmt.Sprintf("1 to %d bytes", limit)})
		case len(got) > limit:
			faults = append(faults, status.Fault{Field: field, Got: fmt.Sprintf("%d bytes", len(got)), Want: fmt.Sprintf("at most %d bytes", limit)})
		case !printable(got):
			faults = append(faults, status.Fault{Field: field, Got: quoted(got), Want: "printable UTF-8"})
		}
	}
	text("namespace", ns, false, maxText)
	if ns == AnyNamespace {
		faults = append(faults, status.Fault{Field: "namespace", Got: quoted(ns), Want: "one namespace"})
	}
	text("name", name, false, maxText)
	text("created_by", by, true, maxText)
	media, ok := mediaType(contentType)
	if !ok {
		faults = append(faults, status.Fault{Field: "content_type", Got: quoted(contentType), Want: "a media type such as " + defaultType})
	}
	if len(labels) > maxLabels {
		faults = append(faults, status.Fault{Field: "labels", Got: fmt.Sprint(len(labels)), Want: fmt.Sprintf("at most %d", maxLabels)})
	} else {
		for _, key := range slices.Sorted(maps.Keys(labels)) {
			text("key of label "+quoted(key), key, false, maxLabelKey)
			text("labels["+quoted(key)+"]", labels[key], true, maxText)
		}
	}
	if len(faults) > 0 {
		return Artifact{}, status.Invalid("artifact.invalid", "the artifact", faults)
	}
	return Artifact{Namespace: ns, Name: name, ContentType: media, CreatedBy: by, Labels: maps.Clone(labels)}, nil
}

// mediaType normalises what it accepts, so that nothing but a media type is
// ever sent back in a header.
func mediaType(s string) (string, bool) {
	if s == "" {
		return defaultType, true
	}
	if len(s) > maxText {
		return "", false
	}
	media, params, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(media, "/") {
		return "", false
	}
	out := mime.FormatMediaType(media, params)
	return out, out != "" && len(out) <= maxText
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// quoted shows at most 64 bytes of a stranger's text.
func quoted(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return fmt.Sprintf("%q", s)
}

// newID is a version 4 UUID (RFC 9562, 5.4).
func newID() string {
	var b [idSize]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// isID reports whether s has the form of an ID, and so of a directory of ours.
func isID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdef", rune(c)) {
				return false
			}
		}
	}
	return true
}
