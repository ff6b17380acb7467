// Package static is the web server that apps of the runtime "static" are: it
// serves one directory over HTTP/1.1, to be put behind an ingress.
//
// [Handler] answers GET and HEAD with files as they are (RFC 9110). A file's
// entity tag is strong, the hash of its bytes, computed when the file is first
// asked for and kept while size and modification time hold; ranges and
// conditional requests go by it. There is no Last-Modified: files of an image
// that is the same each time it is built have no times. Where FILE.br or FILE.gz
// lies beside a file, clients that accept that coding get it. A directory is
// its index.html and is never listed; 404.html, where there is one, is the body
// of what is not found.
//
// Files are opened through [os.Root], so that no link leads out of the
// directory. Names that begin with a dot are not served, except below
// /.well-known (RFC 8615). No path is reserved: the site owns them all.
//
// [Serve] adds time-outs, one line of log for each request, without the query
// string, which may have secrets, and an end that lets requests finish.
package static
