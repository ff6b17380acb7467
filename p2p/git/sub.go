package git

import (
	"io/fs"
	"path"
	"strings"

	"apocryph/proto/status"
)

// Sub is the part of a tree below a path such as "metrics/", which is relative,
// slash-separated, and a directory all the way: no part of it is a link. Empty
// and "." are all of the tree. Errors are InvalidArgument, [ReasonPath].
func Sub(tree fs.FS, name string) (fs.FS, error) {
	clean := strings.TrimSuffix(name, "/")
	if clean == "" && name == "" || clean == "." {
		return tree, nil
	}
	if !fs.ValidPath(clean) || strings.ContainsAny(clean, "\\\x00") {
		return nil, status.New(status.InvalidArgument, ReasonPath, "the path %q is not one within a repository", name).
			WithHint("write it relative, with slashes and without ..")
	}
	for at, rest, more := "", clean, true; more; {
		var c string
		c, rest, more = strings.Cut(rest, "/")
		at = path.Join(at, c)
		info, err := fs.Lstat(tree, at)
		switch {
		case err != nil:
			return nil, status.Wrap(err, status.InvalidArgument, ReasonPath, "the path %q is not found: there is no %q", name, at).
				WithHint("name a directory that the commit has")
		case !info.IsDir():
			return nil, status.New(status.InvalidArgument, ReasonPath, "the path %q leads through %q, which is no directory", name, at).
				WithHint("name a directory; links are not followed")
		}
	}
	return fs.Sub(tree, clean)
}
