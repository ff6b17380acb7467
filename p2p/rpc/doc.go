// Package rpc carries one call on one libp2p stream: a request frame, then a
// sequence of response frames, each a protobuf message behind its length as an
// unsigned varint. proto/README.md is the specification.
//
// The answering side registers a protocol with [Handle]. Each stream passes
// the same gates in the same order, so that the cheapest refusal comes first:
// the number of calls of this peer and of all, the service's resource scope, a
// reservation for the request's memory, a deadline, and a bounded read. Only
// then does the handler run. What it returns as an error becomes the last
// frame, a Status in the response's field named "error"; a panic becomes an
// internal error there and a log line here. A refusal for lack of room is such
// a frame too, with a time to come back; only what cannot be understood, and
// what comes on top of twice the limits, is reset.
//
// The asking side uses [Call], or [Do] where one response is all. Whatever
// goes wrong becomes a status: what the peer said (re-classed, because it is a
// stranger's claim), that it cannot be reached, that it speaks another version,
// or that time ran out. Ending the context resets the stream, and the handler's
// context at the other end is cancelled.
//
// No step waits for a peer without end. A frame that has begun must be
// complete, and one that is sent must be taken, within [Protocol].IdleTimeout;
// the whole call within Timeout, where it has one.
package rpc
