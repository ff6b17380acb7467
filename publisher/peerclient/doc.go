// Package peerclient speaks a provider's protocols over libp2p.
//
// It is the other end of apocryph/provider/peerapi: it turns the publisher's
// nouns into messages and back. What a provider answers is a stranger's word;
// the publisher's core verifies it. A refusal arrives as a status that has been
// re-classed at the hop, see apocryph/proto/status.
package peerclient
