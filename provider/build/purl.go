package build

import (
	"fmt"
	"strings"
)

// purl is a package URL (ECMA-427): kind is its type, name may have a namespace. An empty
// version is left out. from, unless empty, is the URL that a lock file names for the
// archive: the qualifier "download_url". It is kept for every registry, for which one a
// reader takes for the usual one is not the provider's to say.
func purl(kind, name, version, from string) string {
	out := "pkg:" + kind + "/" + purlText(name, "/")
	if version != "" {
		out += "@" + purlText(version, "")
	}
	if from != "" {
		out += "?download_url=" + purlText(from, "/")
	}
	return out
}

// purlText percent-encodes all but what package URLs have as it is, and the bytes of more.
func purlText(s, more string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(".-_~:"+more, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
