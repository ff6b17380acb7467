package p2p

import "github.com/libp2p/go-libp2p/core/peer"

// Announced is what mDNS calls.
func Announced(n *Node, info peer.AddrInfo) { n.lan.HandlePeerFound(info) }
