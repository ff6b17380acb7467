// Package httpapi answers HTTP for one provider: deploys, apps, artifacts,
// deployments and tokens, for those who trust it.
//
// Every address and socket serves the same routes; what a caller may do is
// decided by who it is (provider/auth), and in which namespace. GET /health is for
// everybody. What is in a namespace that a caller may not read is as if it were
// not there.
//
// There is no pipeline in here. A front door turns a form, an old JSON body or
// an app's deployment into one deploy.Request, hands it to deploy.Deployments,
// and renders what becomes of it in one of four ways: an answer when it has
// ended, 202 at once (RFC 7240, "respond-async"), server-sent events, or the
// plan of a dry run. An upload is streamed to the disk; memory does not grow with
// it.
//
// Errors are problem documents (RFC 9457), also those of the router and of
// net/http's range requests. Each answer has a request id. A POST may carry an
// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): the answer is kept
// for a day and replayed. Entity tags are of RFC 9110, digests of RFC 9530,
// resumable uploads of tus 1.0.0, deprecations of RFC 9745.
//
// The routes are one table. The router runs it, and the OpenAPI 3.1 document
// and the page for people are generated from it, so that they know the same
// routes, parameters and bodies; schemas are read off the Go types that are
// encoded. The tests hold every answer that they get against that document.
//
// A stranger's time and space are bounded before they are used: [Limits] has
// each number with what it is against.
package httpapi
