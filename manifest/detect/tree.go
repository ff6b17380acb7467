package detect

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"apocryph/proto/status"
)

// The bounds of what is read of a tree. A stranger's tree can have files of any
// size and directories of any length.
const (
	maxFile    = 1 << 20  // one file that is parsed, in bytes
	maxHead    = 64 << 10 // what is read of a file to see its kind, in bytes
	maxRead    = 64 << 20 // all that is read, in bytes
	maxEntries = 20_000   // all names that are listed
	maxSeen    = 64       // faults and candidates in an error
)

// tree reads files with a budget.
type tree struct {
	fs.FS
	read, listed int
}

func errLimits() error {
	return status.New(status.InvalidArgument, "entrypoint.limits", "there is more to look at than %d MiB, or %d names", maxRead>>20, maxEntries).
		WithHint("name the entry, or deploy a smaller tree")
}

// stat returns nil for what is not there or cannot be reached, such as a
// symbolic link that leaves the tree.
func (t *tree) stat(name string) fs.FileInfo {
	if !fs.ValidPath(name) {
		return nil
	}
	info, err := fs.Stat(t.FS, name)
	if err != nil {
		return nil
	}
	return info
}

func (t *tree) isFile(name string) bool {
	info := t.stat(name)
	return info != nil && info.Mode().IsRegular()
}

func (t *tree) isDir(name string) bool {
	info := t.stat(name)
	return info != nil && info.IsDir()
}

// parsed reads a file that is parsed whole.
func (t *tree) parsed(name string) ([]byte, error) {
	b, err := t.head(name, maxFile+1)
	if err == nil && len(b) > maxFile {
		return nil, malformed(name, "more than "+strconv.Itoa(maxFile)+" bytes", "a smaller file", 0)
	}
	return b, err
}

// head reads at most limit bytes of a file.
func (t *tree) head(name string, limit int) ([]byte, error) {
	f, err := t.Open(name)
	if err != nil {
		return nil, unreadable(err, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, unreadable(err, name)
	}
	if t.read += len(b); t.read > maxRead {
		return nil, errLimits()
	}
	return b, nil
}

func unreadable(err error, name string) error {
	return status.Wrap(err, status.InvalidArgument, "entrypoint.unreadable", "reading %s", quote(name))
}

// list returns the names in a directory in byte order, or none where there is
// no directory. The order of the file system decides nothing.
func (t *tree) list(dir string) ([]string, error) {
	if !t.isDir(dir) {
		return nil, nil
	}
	f, err := t.Open(dir)
	if err != nil {
		return nil, unreadable(err, dir)
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, unreadable(errors.New("not a directory"), dir)
	}
	entries, err := d.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, unreadable(err, dir)
	}
	if t.listed += len(entries); t.listed > maxEntries {
		return nil, errLimits()
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.Sort(names)
	return names, nil
}

// malformed is a fault of a file that a rule reads.
func malformed(name, got, want string, line int) error {
	return status.Invalid("entrypoint.malformed", "the file", []status.Fault{{Field: name, Got: got, Want: want, Line: line}})
}

// printable reports whether s can stand in a command and on a terminal.
func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// quote leaves plain names as they are and makes others printable and short.
func quote(s string) string {
	const shown = 120
	if len(s) <= shown && printable(s) && !strings.ContainsAny(s, " \"'") && s != "" {
		return s
	}
	if len(s) > shown {
		return strconv.QuoteToASCII(s[:shown]) + "…"
	}
	return strconv.Quote(s)
}

// inApp is where a file of the tree is in the container.
func inApp(name string) string { return path.Join(AppDir, name) }
