package discovery

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/multiformats/go-multiaddr"

	"apocryph/proto/status"
)

// The caps on an advert's parts: whoever collects adverts of strangers keeps
// and prints them.
const (
	maxAddrs     = 32
	maxAddrBytes = 256
	maxClasses   = 16
	maxPrices    = 32
	maxText      = 64
	maxAsset     = 128
	maxDigits    = 40
)

var (
	// slug is a word that is safe in a terminal, a DHT key and a table.
	slug    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)
	decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	asset   = regexp.MustCompile(`^[A-Za-z0-9:/._%-]+$`)
)

// validate reports all faults of a, at the time now, at once.
func (a Advert) validate(now time.Time) error {
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	word := func(field, s string, empty bool) {
		if (s != "" || !empty) && !slug.MatchString(s) {
			fault(field, quote(s), "lowercase letters, digits, dot, dash and underscore, at most 32")
		}
	}
	count := func(field string, n, limit int) {
		if n > limit {
			fault(field, strconv.Itoa(n)+" entries", "at most "+strconv.Itoa(limit))
		}
	}
	if err := a.Peer.Validate(); err != nil {
		fault("peer_id", "none", "a peer id")
	}
	switch {
	case !a.NotAfter.After(now):
		fault("not_after", a.NotAfter.UTC().Format(time.RFC3339), "a time to come")
	case a.NotAfter.Sub(now) > MaxValidity:
		fault("not_after", a.NotAfter.UTC().Format(time.RFC3339), "at most 24 hours from now")
	}
	count("addrs", len(a.Addrs), maxAddrs)
	for i, addr := range a.Addrs {
		if !addressable(addr) {
			fault(fmt.Sprintf("addrs[%d]", i), "an unusable address", "a multiaddr of at most 256 bytes, without /p2p at its end")
		}
	}
	word("tee", a.TEE, false)
	word("region", a.Region, true)
	count("runtime_classes", len(a.RuntimeClasses), maxClasses)
	for i, c := range a.RuntimeClasses {
		word(fmt.Sprintf("runtime_classes[%d]", i), c, false)
	}
	if a.Asset != "" && (len(a.Asset) > maxAsset || !asset.MatchString(a.Asset)) {
		fault("asset", quote(a.Asset), "a CAIP-19 asset or an ISO 4217 code")
	}
	count("prices", len(a.Prices), maxPrices)
	for i, p := range a.Prices {
		field := fmt.Sprintf("prices[%d]", i)
		if !printable(p.Resource) || p.Resource == "" {
			fault(field+".resource", quote(p.Resource), "printable text of at most 64 bytes")
		}
		if !printable(p.Unit) {
			fault(field+".unit", quote(p.Unit), "printable text of at most 64 bytes")
		}
		if len(p.PerUnitSecond) > maxDigits || !decimal.MatchString(p.PerUnitSecond) {
			fault(field+".per_unit_second", quote(p.PerUnitSecond), "a decimal number of at most 40 digits")
		}
	}
	if !printable(a.Software) {
		fault("software", quote(a.Software), "printable text of at most 64 bytes")
	}
	if !printable(a.Platform) {
		fault("platform", quote(a.Platform), "printable text of at most 64 bytes")
	}
	if len(faults) > 0 {
		return status.Invalid("advert.invalid", "the advert", faults)
	}
	return nil
}

func addressable(a multiaddr.Multiaddr) bool {
	if len(a) == 0 || len(a.Bytes()) > maxAddrBytes {
		return false
	}
	_, last := multiaddr.SplitLast(a)
	return last != nil && last.Protocol().Code != multiaddr.P_P2P
}

func printable(s string) bool {
	if len(s) > maxText || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func quote(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strconv.QuoteToASCII(s)
}
