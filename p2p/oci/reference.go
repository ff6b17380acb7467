package oci

import (
	"regexp"
	"strings"

	"apocryph/proto/status"

	"github.com/google/go-containerregistry/pkg/name"
)

// Transport is where an image is kept.
type Transport string

// The transports. A registry reference has no prefix.
const (
	Layout        Transport = "oci"
	Archive       Transport = "oci-archive"
	DockerArchive Transport = "docker-archive"
	Registry      Transport = "registry"
)

// maxReference bounds a reference: paths are at most 4096 bytes on Linux.
const maxReference = 4096 + 512

// Reference names an image.
type Reference struct {
	Transport Transport
	// Path is the directory or file; empty for a registry.
	Path string
	// Name is what is chosen within: a tag for oci and oci-archive, a docker name
	// such as "app:1" for docker-archive, the whole reference for a registry. It
	// is empty where the only image is meant.
	Name string
	// Digest chooses a manifest by digest; oci and oci-archive only.
	Digest string
}

// String is the reference as it is written in a manifest.
func (r Reference) String() string {
	if r.Transport == Registry {
		return r.Name
	}
	s := string(r.Transport) + ":" + r.Path
	switch {
	case r.Digest != "":
		s += "@" + r.Digest
	case r.Name != "":
		s += ":" + r.Name
	}
	return s
}

var (
	// tagPattern is the grammar of a tag (OCI distribution spec 1.1, "Pulling manifests").
	tagPattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

const sourcesHint = "write oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, or a registry reference such as docker.io/library/nginx:1.29"

// ParseReference reads "oci:DIR[:TAG]", "oci-archive:FILE[:TAG]" (also with
// "@sha256:..." in place of the tag), "docker-archive:FILE[:NAME]" or a
// registry reference. It touches no file.
func ParseReference(s string) (Reference, error) {
	if len(s) > maxReference {
		return Reference{}, status.New(status.InvalidArgument, "image.reference", "image: got %d bytes, want at most %d", len(s), maxReference)
	}
	invalid := func(want string) (Reference, error) {
		return Reference{}, status.New(status.InvalidArgument, "image.reference", "image: got %q, want %s", clip(s), want).WithHint(sourcesHint)
	}
	if strings.ContainsAny(s, "\x00\r\n") {
		return invalid("one line of text")
	}
	scheme, rest, _ := strings.Cut(s, ":")
	r := Reference{Transport: Transport(scheme)}
	switch r.Transport {
	case Layout, Archive:
		if path, digest, ok := strings.Cut(rest, "@"); ok && strings.HasPrefix(digest, "sha256:") {
			if !digestPattern.MatchString(digest) {
				return invalid("sha256: and 64 lower-case hex digits after the @")
			}
			r.Path, r.Digest = path, digest
			break
		}
		r.Path = rest
		// The last colon begins a tag unless what follows is still a path, as in C:\images.
		if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.ContainsAny(rest[i+1:], `/\`) {
			r.Path, r.Name = rest[:i], rest[i+1:]
			if !tagPattern.MatchString(r.Name) {
				return invalid("a tag of letters, digits, '.', '_' and '-' after the last colon")
			}
		}
	case DockerArchive:
		r.Path, r.Name = cutPath(rest)
		if strings.HasSuffix(rest, ":") {
			return invalid("a name such as app:1 after the colon")
		}
	case "ipfs", "dir", "file", "docker-daemon", "containers-storage":
		return invalid("a source that is read here")
	default:
		// "./app.tar" would otherwise be a repository of a registry called ".", /app.tar one of Docker Hub.
		if strings.Contains(s, "://") || strings.ContainsAny(s[:min(1, len(s))], "./~") {
			return invalid("an image source")
		}
		if _, err := name.ParseReference(s, name.WeakValidation); err != nil {
			return invalid("an image source")
		}
		return Reference{Transport: Registry, Name: s}, nil
	}
	if r.Path == "" {
		return invalid("a path after " + scheme + ":")
	}
	return r, nil
}

// cutPath splits FILE:NAME at the first colon that is not a Windows drive's.
func cutPath(s string) (path, name string) {
	from := 0
	if len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/') {
		from = 2
	}
	i := strings.IndexByte(s[from:], ':')
	if i < 0 {
		return s, ""
	}
	return s[:from+i], s[from+i+1:]
}
