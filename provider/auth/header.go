package auth

import (
	"net/http"
	"strings"
)

// maxToken bounds a token, in bytes: parsing one is work that a stranger asks for.
const maxToken = 8 << 10

// bearer is the token of a request's Authorization header (RFC 6750, 2.1). Two
// headers are refused, since a proxy before us may have looked at the other one.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	switch {
	case len(values) == 0:
		return "", refuse("missing", "this call needs a token").
			WithHint("send 'Authorization: Bearer TOKEN'; the operator makes tokens with `provider token create`")
	case len(values) > 1:
		return "", refuse("malformed", "the request has %d Authorization headers, one is wanted", len(values))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", refuse("malformed", "the Authorization header is not of the scheme Bearer").
			WithHint("send 'Authorization: Bearer TOKEN'")
	}
	token = strings.Trim(token, " ")
	switch {
	case len(token) > maxToken:
		return "", refuse("malformed", "the token has %d bytes, at most %d are read", len(token), maxToken)
	case !isToken68(token):
		return "", refuse("malformed", "the Authorization header has no well-formed token").
			WithHint("send 'Authorization: Bearer TOKEN', the token without quotes, commas and line breaks")
	}
	return token, nil
}

// isToken68 reports whether s is a b64token (RFC 6750, 2.1).
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") == ""
}
