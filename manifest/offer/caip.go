package offer

import (
	"regexp"
	"strings"
)

// The grammars of CAIP-2, CAIP-10 and CAIP-19, and the shape of an ISO 4217
// code.
const (
	chainGrammar   = `[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}`
	accountGrammar = chainGrammar + `:[-.%a-zA-Z0-9]{1,128}`
	assetGrammar   = chainGrammar + `/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}(/[-.%a-zA-Z0-9]{1,78})?`
)

var (
	chainPattern    = regexp.MustCompile(`^` + chainGrammar + `$`)
	accountPattern  = regexp.MustCompile(`^` + accountGrammar + `$`)
	assetPattern    = regexp.MustCompile(`^` + assetGrammar + `$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
	evmAddress      = regexp.MustCompile(`^0x[0-9a-fA-F]{40}$`)
	evmChannel      = regexp.MustCompile(`^0x[0-9a-fA-F]{64}$`)
)

const (
	chainForm   = "a CAIP-2 chain such as eip155:1"
	accountForm = "a CAIP-10 account such as eip155:1:0x and 40 hex digits"
	assetForm   = "a CAIP-19 asset such as eip155:1/slip44:60, or an ISO 4217 code such as EUR"
)

func isChain(s string) bool { return chainPattern.MatchString(s) }

func isAsset(s string) bool { return assetPattern.MatchString(s) || currencyPattern.MatchString(s) }

// isAccount also checks the address where the chain says what one looks like.
func isAccount(s string) bool {
	if !accountPattern.MatchString(s) {
		return false
	}
	chain, address := splitAccount(s)
	return !strings.HasPrefix(chain, "eip155:") || evmAddress.MatchString(address)
}

// splitAccount cuts a CAIP-10 account at its last colon.
func splitAccount(s string) (chain, address string) {
	i := strings.LastIndexByte(s, ':')
	return s[:max(i, 0)], s[i+1:]
}
