package content

import "slices"

// spans is a set of bytes of a file, as sorted ranges that neither touch nor
// overlap. A fetch fills it nearly in order, so it stays short.
type spans []span

type span struct{ from, to int64 }

// add inserts [from, to).
func (s *spans) add(from, to int64) {
	if from >= to {
		return
	}
	i, _ := slices.BinarySearchFunc(*s, from, func(x span, at int64) int {
		if x.to < at {
			return -1
		}
		return 1
	})
	j := i
	for j < len(*s) && (*s)[j].from <= to {
		from = min(from, (*s)[j].from)
		to = max(to, (*s)[j].to)
		j++
	}
	*s = slices.Replace(*s, i, j, span{from, to})
}

// covers reports whether all of [from, to) is in the set.
func (s spans) covers(from, to int64) bool {
	if from >= to {
		return true
	}
	for _, x := range s {
		if x.from <= from && from < x.to {
			return to <= x.to
		}
	}
	return false
}

// touches reports whether any byte of [from, to) is in the set.
func (s spans) touches(from, to int64) bool {
	for _, x := range s {
		if x.from < to && from < min(to, x.to) {
			return true
		}
	}
	return false
}

// prefix is the number of bytes in the set from 0 on without a gap.
func (s spans) prefix() int64 {
	if len(s) > 0 && s[0].from == 0 {
		return s[0].to
	}
	return 0
}

// sum is the number of bytes in the set.
func (s spans) sum() int64 {
	var n int64
	for _, x := range s {
		n += x.to - x.from
	}
	return n
}
