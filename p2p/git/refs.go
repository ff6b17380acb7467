package git

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"apocryph/attest/commit"
)

// refs are what a server's list says about the names that were asked for.
type refs struct {
	// defaultBranch is what HEAD points to, "" where it points to none.
	defaultBranch string
	// ids by full name; annotated tags have a second one with "^{}".
	ids map[string]string
}

// refLine caps one line of the list: an id, a tab and a name, of which git
// allows 65,516 bytes less its framing.
const refLine = 64 << 10

var errListing = errors.New("the list of references is malformed")

// readRefs reads the output of git ls-remote --symref, and keeps what is wanted.
func readRefs(r io.Reader, wanted map[string]bool) (refs, error) {
	out := refs{ids: map[string]string{}}
	s := bufio.NewScanner(&upTo{r: r, n: maxListing})
	s.Buffer(nil, refLine)
	for s.Scan() {
		id, name, ok := strings.Cut(s.Text(), "\t")
		if target, is := strings.CutPrefix(id, "ref: "); is && ok {
			if name == "HEAD" && strings.HasPrefix(target, "refs/heads/") && out.defaultBranch == "" {
				out.defaultBranch = target
			}
			continue
		}
		if !ok || !commit.IsID(id) {
			return refs{}, errListing
		}
		if !wanted[strings.TrimSuffix(name, "^{}")] {
			continue
		}
		if _, twice := out.ids[name]; twice {
			return refs{}, errListing
		}
		out.ids[name] = id
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return refs{}, errListing
	}
	return out, s.Err()
}

// commit is the id of a name, of the tagged object for an annotated tag.
func (r refs) commit(name string) (string, bool) {
	if id, ok := r.ids[name+"^{}"]; ok {
		return id, true
	}
	id, ok := r.ids[name]
	return id, ok
}
