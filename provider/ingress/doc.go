// Package ingress brings traffic from outside to pods: HTTP by host name on
// one listener, TCP and UDP by mapped ports.
//
// It is a reverse proxy in the sense of RFC 9110, 3.7 (a gateway). Requests are
// routed by the Host header (or :authority) alone. A pod's generated host is
// NAME-ID.DOMAIN, see [HostName]; of several HTTP ports the first has that
// name, the others are NAME-PORTNAME-ID.DOMAIN, or NAME-PORT-ID.DOMAIN where
// the port has no name. A custom host replaces the generated one where the
// operator allows it; the first pod that holds a name keeps it, and nobody
// takes one under DOMAIN.
//
// Names and ports are handed out by [Ingress.Assign], which holds them for a
// pod until [Ingress.Withdraw]; traffic flows once [Ingress.Publish] says which
// backends answer. Publish swaps one immutable routing table, so each request
// sees either the old backends or the new ones, and requests that are under way
// stay where they are: a revision is replaced without losing any, provided that
// the caller stops the old instances after their last answer.
//
// Each pod has its own connections to its backends, so that no connection
// outlives its pod and serves the next one with the same address. A backend
// that refuses a connection is passed over for another replica; nothing was
// sent yet, so this holds for every method. What can't be answered is 502 with
// one line that says why, as text or application/problem+json (RFC 9457).
//
// HTTP/2 without TLS is spoken with prior knowledge (RFC 9113, 3.3). A client
// that speaks it is passed to the backend as HTTP/2 where the backend speaks it
// too, always for gRPC, whose trailers need it. WebSockets and other upgrades,
// server-sent events and bodies of any size are passed as they come. Headers
// that tell who the client is are set here and never taken from it.
package ingress
