// Package acmetest is an ACME authority for tests.
//
// [Server] speaks the part of RFC 8555 that a client needs for a certificate
// of one name: directory, nonces, account, order, authorization with an http-01
// challenge, finalization, and the download. It trusts nobody more than a real
// one: signatures (RFC 7515, ES256), nonces and the URLs within are checked,
// and a challenge is fetched from the host, through a dialer that stands for
// the DNS. Its own TLS has the root [Server.Roots].
package acmetest
