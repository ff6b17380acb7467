package source

import (
	"slices"
	"strings"
)

// nameHeap has the greatest name on top.
type nameHeap struct {
	names []string
	cost  int
}

func (h *nameHeap) Len() int           { return len(h.names) }
func (h *nameHeap) Less(i, j int) bool { return h.names[i] > h.names[j] }
func (h *nameHeap) Swap(i, j int)      { h.names[i], h.names[j] = h.names[j], h.names[i] }

func (h *nameHeap) Push(x any) {
	h.names = append(h.names, x.(string))
	h.cost += len(x.(string)) + nameCost
}

func (h *nameHeap) Pop() any {
	n := len(h.names) - 1
	top := h.names[n]
	h.names[n] = ""
	h.names = h.names[:n]
	h.cost -= len(top) + nameCost
	return top
}

// sort puts the names into falling order, which still is a heap.
func (h *nameHeap) sort() {
	slices.SortFunc(h.names, func(a, b string) int { return strings.Compare(b, a) })
}
