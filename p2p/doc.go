// Package p2p is the libp2p node that providers and publishers are built on:
// who a program is on the network, which strangers may cost it how much, and
// how peers are reached.
//
// A [Node] is one libp2p host with one Kademlia DHT. Its identity is an
// Ed25519 key that [LoadIdentity] keeps on disk; the peer id is that key's
// multihash, so that every connection is mutually authenticated and the peer
// at the other end of a stream is a fact, not a claim. Transports are TCP (TLS
// 1.3 or Noise, yamux) and QUIC, nothing else: the browser transports are code
// that strangers could reach and that nobody here needs. TCP is dialled first,
// because bulk transfers over it were measured at twice the speed.
//
// Peers are reached in four ways, and the first that works is enough: by
// address, by multicast DNS on the local network, through the DHT, and through
// relays where the operator names some (hole punching then replaces the
// relayed connection). A node without any bootstrap peer is complete on the
// first two. The DHT runs under a prefix of its own, so that it is not merged
// with the public one by accident; providers serve it, publishers only ask.
//
// Every resource that a stranger can make this process spend has a limit in
// limits.go: connections and streams in total, while they are being set up,
// for each peer, for each address, and for each protocol of [Protocols].
//
// [New] validates the configuration and builds the host without listening.
// [Node.Run] listens on every address or fails naming the one that is taken,
// and ends with everything closed. What talks over the streams lives one layer
// up, in p2p/rpc, p2p/discovery and p2p/content.
package p2p
