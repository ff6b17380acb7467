// Package httpclient deploys to one provider over its HTTP API.
//
// It is for those who trust the provider: nothing is attested and nothing is
// sealed to a key. What is sent is protected by TLS, or does not leave the
// machine: a unix socket or a loopback address. Any other address is refused
// before anything is sent, and so is a certificate that is not the system's or
// of [Config].CA. A redirect is an error: the token is for the address that was
// named.
//
// [Client.Deploy] is one POST of multipart/form-data whose files are written as
// they are sent, so that memory does not grow with them, and whose answer is the
// deployment's events (server-sent events, WHATWG HTML 9.2). The request has an
// Idempotency-Key: when the connection is lost before the deployment's name came
// back it is sent once more, and is the same deployment. When the stream breaks
// later it goes on with Last-Event-ID behind the last event that was read. A
// stream that is silent for longer than its signs of life are apart counts as
// broken. Both are bounded: after several tries without progress the error is
// unavailable.
//
// Errors are those of package status. A problem document (RFC 9457) is read by
// package problem; the result of a deployment that failed becomes the same
// error that the libp2p protocols give, with the app's last lines. What a server
// says of itself is a stranger's text: it is capped, and re-classed by
// [status.FromPeer].
//
// [Document] says in the API's JSON what a manifest file says, or names each
// field that cannot be said there.
package httpclient
