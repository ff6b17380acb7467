// Package httpapi answers HTTP for one provider.
//
// Every address and socket serves the same routes; what a caller may do is
// decided by who it is. GET /health is for everybody and says whether the
// provider serves. GET /pods lists every pod and is for the operator: the
// callers of the unix socket, whom the file system lets in.
package httpapi
