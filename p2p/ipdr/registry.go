package ipdr

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"apocryph/p2p/content"
	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// Registry serves the images of the store as a read-only OCI registry
// (distribution specification 1.1, pull): the repository is the root's CID, so
// that docker://127.0.0.1:PORT/CID pulls it. It answers from the store alone
// and asks no peer. It has no access control of its own: serve it on loopback.
func Registry(s *content.Store) http.Handler {
	mux := http.NewServeMux()
	r := registry{s}
	mux.HandleFunc("GET /v2/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}") // the client is gone otherwise
	})
	mux.HandleFunc("GET /v2/{root}/manifests/{ref}", r.manifest)
	mux.HandleFunc("GET /v2/{root}/blobs/{digest}", r.blob)
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only")
			return
		}
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "the name of an image is the CID of its root")
	})
	return mux
}

type registry struct{ s *content.Store }

// refuse answers with the error body of the specification.
func refuse(w http.ResponseWriter, code int, slug, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	body := map[string]any{"errors": []map[string]string{{"code": slug, "message": detail}}}
	_ = json.NewEncoder(w).Encode(body) // the client is gone otherwise
}

// tree reads the directory that the request names, or answers why not.
func (r registry) tree(w http.ResponseWriter, req *http.Request) (*names, bool) {
	root, err := cid.Decode(req.PathValue("root"))
	if err != nil {
		refuse(w, http.StatusNotFound, "NAME_INVALID", "the name of an image is the CID of its root")
		return nil, false
	}
	t, err := readTree(req.Context(), r.s, root)
	if err != nil {
		code, slug := http.StatusNotFound, "NAME_UNKNOWN"
		if c := status.CodeOf(err); c != status.NotFound && c != status.InvalidArgument {
			code, slug = http.StatusInternalServerError, "UNKNOWN"
		}
		refuse(w, code, slug, "there is no image of this name here")
		return nil, false
	}
	return t, true
}

func (r registry) manifest(w http.ResponseWriter, req *http.Request) {
	t, ok := r.tree(w, req)
	if !ok {
		return
	}
	ref := req.PathValue("ref")
	n, ok := t.manifests[ref]
	if _, isDigest := hexOf(ref); isDigest {
		var err error
		n, err = t.blob(ref)
		ok = err == nil
	}
	if !ok || n.Dir {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "the image has no manifest of this name")
		return
	}
	b, err := r.s.ReadBytes(req.Context(), n.CID, maxManifest)
	var m manifest
	if err == nil {
		m, err = parseManifest(b)
	}
	digest := digestOf(b)
	if _, isDigest := hexOf(ref); err == nil && isDigest && digest != ref {
		err = errors.New("wrong digest")
	}
	if err != nil {
		refuse(w, http.StatusNotFound, "MANIFEST_INVALID", "the manifest is not here or not usable")
		return
	}
	mediaType := m.MediaType
	if mediaType == "" {
		mediaType = ociManifest
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Docker-Content-Digest", digest)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // the client is gone otherwise
}

func (r registry) blob(w http.ResponseWriter, req *http.Request) {
	t, ok := r.tree(w, req)
	if !ok {
		return
	}
	digest := req.PathValue("digest")
	if _, ok := hexOf(digest); !ok {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "the digest is not sha256: and 64 hex digits")
		return
	}
	n, err := t.blob(digest)
	if err != nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "the image has no blob of this digest")
		return
	}
	b, err := r.s.Open(req.Context(), n.CID)
	if err != nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "the blob is not here")
		return
	}
	defer b.Close()
	// A name in a stranger's directory is a claim. Files were hashed when they
	// came; what is kept as blocks is small enough to hash now.
	if b.Digest() == "" {
		if all, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size())); err != nil || digestOf(all) != digest {
			refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "the blob does not have its digest")
			return
		}
	} else if !strings.EqualFold(b.Digest(), digest) {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "the blob does not have its digest")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", digest)
	h.Set("Etag", `"`+digest+`"`)
	// It answers ranges, and HEAD with the length.
	http.ServeContent(w, req, "", time.Time{}, io.NewSectionReader(b, 0, b.Size()))
}
