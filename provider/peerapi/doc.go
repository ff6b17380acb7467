// Package peerapi answers the provider's protocols over libp2p.
//
// Each handler is thin: it turns generated messages into the provider's own
// nouns, calls [apocryph/provider.Service], and turns the answer back. The
// caller is the authenticated other end of the connection; there is no token
// that could be stolen or replayed. Framing, caps, deadlines and the order in
// which a stranger's bytes are handled are those of apocryph/p2p/rpc.
package peerapi
