package static

import (
	"strconv"
	"strings"
)

// coding is a content coding (RFC 9110, 8.4.1) and how files that have it are named.
type coding struct{ name, suffix string }

// codings, the best first.
var codings = []coding{{"br", ".br"}, {"gzip", ".gz"}}

// accepts reads Accept-Encoding (RFC 9110, 12.5.3). "*" counts for nothing:
// who does not name a coding gets the plain file, which is always right.
func accepts(headers []string, name string) bool {
	for _, header := range headers {
		for item := range strings.SplitSeq(header, ",") {
			got, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(got), name) {
				continue
			}
			weight, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
			if !ok {
				return true
			}
			q, err := strconv.ParseFloat(weight, 64)
			return err == nil && q > 0
		}
	}
	return false
}
