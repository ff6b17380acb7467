// Package p2ptest runs connected nodes in one process, for tests.
//
// The nodes are real ones of apocryph/p2p: real TCP on loopback, real
// handshakes, a real DHT, so that what passes here passes between machines but
// for NAT, loss and latency. [Nodes] connects each with each; with [Bootstrap]
// all know the first one only and must find each other through the DHT.
package p2ptest
