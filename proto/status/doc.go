// Package status is the one error value that travels through Apocryph.
//
// An [Error] has a [Code], which is coarse and closed and decides what a
// caller does next (retry, change the input, give up), and a reason, which is
// fine, open and stable, such as "capacity.memory". Adding a failure adds a
// reason and never touches a mapper.
//
// The detail and the hint are safe to show to a stranger. The cause is not: it
// stays on this side of the wire and is meant for logs. "No" ([Untrusted]) and
// "don't know" ([Unavailable]) are different codes, so that a check which
// could not be made is never mistaken for one that passed or failed.
//
// Two tables translate it at the edges: [ExitCode] here, HTTP in
// apocryph/proto/problem. A status that came from a peer is a stranger's claim
// and is re-classed by [FromPeer] before it goes on.
package status
