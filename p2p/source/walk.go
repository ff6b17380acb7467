package source

import (
	"container/heap"
	"io"
	"io/fs"
	"os"
	"path"
)

const (
	// walkBytes caps the names that a walk holds: 100,000 names of 255 bytes in
	// one directory would be 25 MB. A directory with more is read several times.
	walkBytes = 4 << 20
	// walkLeast is what each directory may hold although others hold the rest.
	walkLeast = 16 << 10
	// nameCost is what a name costs beside its bytes.
	nameCost = 16
)

// walker visits a tree in order: the entries of a directory by the bytes of
// their names, and what is in a directory right behind it.
type walker struct {
	visit func(name string, info fs.FileInfo, dir *os.Root) error
	held  int
}

func (w *walker) walk(dir *os.Root, at string) error {
	for last := ""; ; {
		names, more, err := w.least(dir, last, max(walkLeast, (walkBytes-w.held)/2))
		if err != nil {
			return err
		}
		cost := names.cost
		w.held += cost
		for i := len(names.names) - 1; i >= 0; i-- {
			last = names.names[i]
			if err := w.one(dir, last, path.Join(at, last)); err != nil {
				return err
			}
		}
		w.held -= cost
		if !more {
			return nil
		}
	}
}

func (w *walker) one(dir *os.Root, base, name string) error {
	info, err := dir.Lstat(base)
	if err != nil {
		return err
	}
	if err := w.visit(name, info, dir); err != nil || !info.IsDir() {
		return err
	}
	sub, err := dir.OpenRoot(base)
	if err != nil {
		return err
	}
	defer sub.Close()
	return w.walk(sub, name)
}

// least returns the least names after last, in falling order, whose cost is
// within budget, and whether there are more.
func (w *walker) least(dir *os.Root, last string, budget int) (*nameHeap, bool, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	h, cut := &nameHeap{}, ""
	for {
		names, err := f.Readdirnames(256)
		for _, n := range names {
			if n <= last || cut != "" && n >= cut {
				continue
			}
			heap.Push(h, n)
			for h.cost > budget && h.Len() > 1 {
				cut = heap.Pop(h).(string)
			}
		}
		if err == io.EOF {
			h.sort()
			return h, cut != "", nil
		} else if err != nil {
			return nil, false, err
		}
	}
}
