package offer

import (
	"fmt"
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf8"

	"apocryph/proto/status"
)

// maxFaults bounds the answer to rubbish; see status.FromPeer.
const maxFaults = 64

// checker collects what is wrong with something that a stranger sent.
type checker struct{ faults []status.Fault }

func (c *checker) addf(field, got, want string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, status.Fault{Field: field, Got: got, Want: fmt.Sprintf(want, args...)})
	}
}

// count refuses a list of more than limit and reports whether it is short enough.
func (c *checker) count(field string, n, limit int) bool {
	if n > limit {
		c.addf(field, strconv.Itoa(n)+" entries", "at most %d", limit)
	}
	return n <= limit
}

// text refuses what is long or not printable.
func (c *checker) text(field, s string, limit int) {
	ok := len(s) <= limit && utf8.ValidString(s)
	for _, r := range s {
		ok = ok && unicode.IsPrint(r)
	}
	if !ok {
		c.addf(field, shown(s), "at most %d printable bytes", limit)
	}
}

func (c *checker) matches(field, s string, pattern *regexp.Regexp, want string) {
	if !pattern.MatchString(s) {
		c.addf(field, shown(s), "%s", want)
	}
}

func (c *checker) atMost(field string, got, limit uint64) {
	if got > limit {
		c.addf(field, strconv.FormatUint(got, 10), "at most %d", limit)
	}
}

func shown(s string) string {
	const limit = 60
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
