package collateral

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kept is a piece of collateral in a directory, for people.
type Kept struct {
	// Name says what it is.
	Name string
	// Fetched is when, and Expires until when it is valid.
	Fetched, Expires time.Time
}

// ListKept returns what is kept in a directory, by name. An absent directory
// has nothing, and what cannot be read is left out: it is fetched again.
func ListKept(dir string) []Kept {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil
	}
	var out []Kept
	for _, name := range names[:min(len(names), maxFiles)] {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		var e entry
		err = json.NewDecoder(io.LimitReader(f, maxEntry)).Decode(&e)
		_ = f.Close() // nothing was written
		if err == nil && e.Name != "" {
			out = append(out, Kept{e.Name, e.Fetched, e.Expires})
		}
	}
	slices.SortFunc(out, func(a, b Kept) int { return strings.Compare(a.Name, b.Name) })
	return out
}
