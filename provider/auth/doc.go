// Package auth says who calls the HTTP API, and what that caller may do.
//
// Authentication ends in a [Principal], authorisation in [Principal.May]. A
// principal is the operator, who may do everything, or holds scopes: pairs of
// an [Action] and a namespace, written "deploy:team-a". Nothing is implied by
// a name and nothing is allowed by default: a valid token without scopes may
// do nothing.
//
// There are these ways in, and [Authenticator] tries them in this order:
//
//   - the unix socket, by the kernel's word for the caller's uid (SO_PEERCRED);
//   - no authentication at all, for loopback addresses and never for browsers;
//   - the service key of a Supabase project, compared in constant time;
//   - local tokens, which [Authenticator.Issue] makes: 256 random bits and a
//     checksum, of which only the SHA-256 is stored;
//   - JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, signed by a
//     key of one JWK set (RFC 7517) or, with a secret that was configured for
//     it, by HS256;
//   - the JSON Web Tokens of a Supabase project that its key set does not
//     cover, by asking the project's /auth/v1/user.
//
// JSON Web Tokens follow RFC 8725. The algorithm comes from the key, never from
// the token: ES256 is for P-256 keys, RS256 for RSA of 2048 bits and more, EdDSA
// for Ed25519, and HS256 sees the secret alone, so that a public key is never
// taken for a secret. Issuer, audience and expiry are demanded. The key set is
// fetched when a token needs it, at most once in 30 seconds whatever strangers
// send, and is trusted for an hour at most when it cannot be fetched anew.
//
// "No" and "don't know" differ: what is wrong with a token is unauthenticated
// (401), a key set or a project that does not answer is unavailable (503), and a
// valid caller without the right is denied (403). Each of them lets nobody in.
// No error and no line of a log has any part of a token, a key or a secret.
//
// The parser is go-jose, which the image encryption links already: it takes the
// allowed algorithms before it looks at a token, and refuses JSON with a name
// twice. Its errors stay inside, since they quote what was sent.
package auth
