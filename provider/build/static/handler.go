package static

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
)

const (
	indexName    = "index.html"
	notFoundName = "404.html"
	wellKnown    = ".well-known"
)

// Handler serves the files below a directory.
type Handler struct {
	root *os.Root
	tags tags
}

// New returns a Handler for the files below root, which it does not close.
func New(root *os.Root) *Handler { return &Handler{root: root} }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, ok := fileName(r.URL.Path)
	if !ok {
		h.notFound(w, r)
		return
	}
	// What is no regular file is not opened: a pipe would block.
	info, err := h.root.Stat(name)
	switch {
	case err != nil:
		h.failed(w, r, err)
	case info.IsDir() && !strings.HasSuffix(r.URL.Path, "/"):
		redirect(w, r, path.Base(name))
	case info.IsDir():
		h.serve(w, r, path.Join(name, indexName))
	case strings.HasSuffix(r.URL.Path, "/"):
		h.notFound(w, r)
	default:
		h.serve(w, r, name)
	}
}

// fileName is the name below the root of a URL's path, if it may be served.
func fileName(urlPath string) (string, bool) {
	name := strings.TrimSuffix(strings.TrimPrefix(urlPath, "/"), "/")
	if name == "" {
		return ".", urlPath == "/"
	}
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\x00\\") {
		return "", false
	}
	for i, part := range strings.Split(name, "/") {
		if strings.HasPrefix(part, ".") && (i > 0 || part != wellKnown) {
			return "", false
		}
	}
	return name, true
}

// redirect sends a client from /dir to /dir/. The target is relative and begins
// with "./", so that no path can make it another host.
func redirect(w http.ResponseWriter, r *http.Request, base string) {
	to := "./" + (&url.URL{Path: base + "/"}).EscapedPath()
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusMovedPermanently)
}

// serve answers with a file, or with a compressed one that lies beside it.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, name string) {
	f, info, err := h.open(name)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	defer func() { f.Close() }()
	w.Header().Set("Content-Type", typeOf(name))
	chosen := name
	for _, c := range codings {
		packed, packedInfo, err := h.open(name + c.suffix)
		if err != nil {
			continue
		}
		// Whatever is chosen, it depends on what the client accepts.
		w.Header().Set("Vary", "Accept-Encoding")
		if chosen != name || !accepts(r.Header.Values("Accept-Encoding"), c.name) {
			packed.Close()
			continue
		}
		f.Close()
		f, info, chosen = packed, packedInfo, name+c.suffix
		w.Header().Set("Content-Encoding", c.name)
	}
	tag, err := h.tags.of(chosen, f, info)
	if err != nil {
		w.Header().Del("Content-Encoding")
		h.failed(w, r, err)
		return
	}
	w.Header().Set("ETag", tag)
	// The browser asks each time and mostly hears 304: names of a site are used again.
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, f)
}

// open opens a regular file.
func (h *Handler) open(name string) (*os.File, fs.FileInfo, error) {
	info, err := h.root.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fs.ErrNotExist
	}
	f, err := h.root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// failed answers for a file that cannot be opened or read. A link out of the
// root and a name too long are as good as nothing there.
func (h *Handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	var pathError *fs.PathError
	if errors.As(err, &pathError) || errors.Is(err, fs.ErrNotExist) {
		h.notFound(w, r)
		return
	}
	http.Error(w, "the file cannot be read", http.StatusInternalServerError)
}

// notFound answers 404, with the site's own page if it has one.
func (h *Handler) notFound(w http.ResponseWriter, r *http.Request) {
	f, _, err := h.open(notFoundName)
	if err != nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Del("Vary")
	w.Header().Set("Content-Type", typeOf(notFoundName))
	w.WriteHeader(http.StatusNotFound)
	if r.Method == http.MethodGet {
		// A client that went away is no error of ours.
		_, _ = io.Copy(w, f)
	}
}
