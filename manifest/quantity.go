package manifest

import (
	"math/big"
	"strconv"
	"strings"

	"apocryph/proto/status"
)

// maxQuantity bounds the text of a quantity, so that no number grows large
// while it is worked out. 2^64 has 20 digits.
const maxQuantity = 32

// maxExponent bounds the decimal exponent for the same reason.
const maxExponent = 30

var decimalSuffix = map[string]int{
	"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}

var binarySuffix = map[string]uint{"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

// ParseQuantity reads a quantity in the grammar of Kubernetes, such as 250m,
// 0.5, 64Mi, 1G or 1e3, and returns it multiplied by scale. A scale of 1000
// gives thousandths. What is left of a whole number is rounded up, as in
// Kubernetes. The arithmetic is exact. The error is invalid_argument,
// manifest.quantity.
func ParseQuantity(s string, scale uint64) (uint64, error) {
	bad := func(why string) (uint64, error) {
		return 0, status.New(status.InvalidArgument, "manifest.quantity", "quantity %s: %s", strconv.Quote(s[:min(len(s), maxQuantity)]), why)
	}
	if len(s) > maxQuantity {
		return bad("longer than any number needs")
	}
	if strings.HasPrefix(s, "-") {
		return bad("less than nothing")
	}
	number := strings.TrimPrefix(s, "+")
	end := strings.IndexFunc(number, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	suffix := ""
	if end >= 0 {
		number, suffix = number[:end], number[end:]
	}
	whole, fraction, _ := strings.Cut(number, ".")
	digits := whole + fraction
	if digits == "" || strings.Contains(fraction, ".") {
		return bad("not a number with a suffix such as m, k, M, G, Ki, Mi or Gi")
	}
	exponent, shift, ok := parseSuffix(suffix)
	if !ok {
		return bad("the suffix is none of m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei")
	}
	value, _ := new(big.Int).SetString(digits, 10)
	value.Lsh(value, shift)
	value.Mul(value, new(big.Int).SetUint64(scale))
	exponent -= len(fraction)
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil)
	if exponent >= 0 {
		value.Mul(value, power)
	} else {
		rest := new(big.Int)
		if value.QuoRem(value, power, rest); rest.Sign() > 0 {
			value.Add(value, big.NewInt(1))
		}
	}
	if !value.IsUint64() {
		return bad("too large")
	}
	return value.Uint64(), nil
}

func parseSuffix(s string) (exponent int, shift uint, ok bool) {
	if shift, ok = binarySuffix[s]; ok {
		return 0, shift, true
	}
	if exponent, ok = decimalSuffix[s]; ok {
		return exponent, 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, 0, false
	}
	exponent, err := strconv.Atoi(s[1:])
	return exponent, 0, err == nil && exponent >= -maxExponent && exponent <= maxExponent
}
