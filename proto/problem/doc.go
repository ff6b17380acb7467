// Package problem carries a [status.Error] over HTTP as a problem document,
// application/problem+json (RFC 9457).
//
// It is one of the two edges that translate errors; the other is the Status
// message of the libp2p protocols. [Write] is the server's half and [Read] the
// client's. A table maps each code to one HTTP status and back. The problem's
// type is a name made of the reason, "urn:apocryph:problem:capacity.memory",
// stable and open; the extension member "code" has the class, and "errors"
// every fault of a refused input.
//
// Two conditions of net/http have no code of their own and are told from the
// standard library's errors: a body over its limit (413) and a body of the
// wrong media type (415). Both are invalid_argument to a client.
//
// Write withholds what [status.Public] withholds. Read trusts nothing: the body
// is capped, whatever does not parse still gives an error of the right class,
// and what does is a stranger's claim that [status.FromPeer] re-classes.
package problem
