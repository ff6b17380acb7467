package offer

import (
	"math/big"
	"regexp"
	"strings"

	"apocryph/proto/status"
)

// maxDecimal bounds a number's text: 18 places, as of most tokens, and as many
// before the point leave room.
const maxDecimal = 64

var decimalPattern = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// parseDecimal reads a plain decimal number: no sign, exponent or needless zero.
func parseDecimal(s string) (*big.Rat, bool) {
	if len(s) > maxDecimal || !decimalPattern.MatchString(s) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// formatDecimal rounds half up, away from zero, to places and drops zeros at
// the end. r is not negative.
func formatDecimal(r *big.Rat, places int) string {
	s := r.FloatString(places)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// CompareDecimals compares two prices as -1, 0 or 1. The error is
// invalid_argument, price.decimal, when one is not a plain decimal number.
func CompareDecimals(a, b string) (int, error) {
	x, ok := parseDecimal(a)
	y, also := parseDecimal(b)
	if !ok || !also {
		return 0, status.New(status.InvalidArgument, "price.decimal", "%s and %s are not both decimal numbers such as 0.25", shown(a), shown(b))
	}
	return x.Cmp(y), nil
}

// Decimal writes a sum that is not negative as a plain decimal number, rounded
// half up to 12 places.
func Decimal(r *big.Rat) string { return formatDecimal(r, totalPlaces) }

// PerMonth is a price per hour for 30 days, or "" where perHour is no decimal.
func PerMonth(perHour string) string {
	r, ok := parseDecimal(perHour)
	if !ok {
		return ""
	}
	return formatDecimal(r.Mul(r, big.NewRat(monthSeconds, hourSeconds)), totalPlaces)
}
