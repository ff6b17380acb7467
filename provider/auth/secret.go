package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"
)

// A local token is "apo_", 43 digits of base 62 with 256 random bits, and 6
// digits with the CRC-32 (IEEE) of all before. The prefix is for scanners of
// secrets, the checksum for them and for typing errors; neither is secret.
const (
	tokenPrefix  = "apo_"
	randomBytes  = 32
	randomDigits = 43
	checkDigits  = 6
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// newSecret makes a local token.
func newSecret() string {
	var b [randomBytes]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	body := tokenPrefix + digits(new(big.Int).SetBytes(b[:]), randomDigits)
	return body + checksum(body)
}

// isLocal reports whether a token claims to be a local one.
func isLocal(token string) bool { return strings.HasPrefix(token, tokenPrefix) }

// intact reports whether a local token is as it was made: neither cut short
// nor mistyped. It says nothing of whether the token is known.
func intact(token string) bool {
	const length = len(tokenPrefix) + randomDigits + checkDigits
	if len(token) != length || !isLocal(token) {
		return false
	}
	body := token[:length-checkDigits]
	return token[length-checkDigits:] == checksum(body)
}

// hashOf is what is kept of a local token. One round is enough: nobody
// guesses 256 random bits.
func hashOf(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

func checksum(body string) string {
	return digits(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), checkDigits)
}

// digits is n in base 62 with leading zeros.
func digits(n *big.Int, width int) string {
	out := make([]byte, width)
	base, digit := big.NewInt(int64(len(base62))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.QuoRem(n, base, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}
