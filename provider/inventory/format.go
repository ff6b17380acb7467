package inventory

import (
	"strconv"
	"strings"
)

// maxText is the longest text in a resource of an offer, in bytes.
const maxText = 128

// cores writes millicores as Kubernetes does: 250m, 2.
func cores(millis uint64) string {
	if millis%1000 == 0 {
		return strconv.FormatUint(millis/1000, 10)
	}
	return strconv.FormatUint(millis, 10) + "m"
}

// bytes writes a size exactly in the largest binary unit that can, or, from
// 1 MiB on, in Mi rounded down.
func bytes(n uint64) string {
	if n >= 1<<20 {
		n -= n % (1 << 20)
	}
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	u := 0
	for u < len(units)-1 && n >= 1024 && n%1024 == 0 {
		n /= 1024
		u++
	}
	return strconv.FormatUint(n, 10) + units[u]
}

// clip keeps text within what an offer may hold.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	const more = "…"
	return strings.ToValidUTF8(s[:maxText-len(more)], "") + more
}
