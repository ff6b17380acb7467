// Package nearest guesses which known name an unknown one was meant to be, for
// the "did you mean" of every strict reader of this tree.
package nearest

import "strings"

// maxName bounds the names that are compared: the cost is quadratic.
const maxName = 40

// Name returns the candidate that name was probably meant to be, or "".
// Distance is the number of letters changed, added, left out or swapped with
// their neighbour (optimal string alignment), without regard to case. A
// beginning of at least three letters is near as well, such as "environment"
// for "env".
func Name(name string, candidates []string) string {
	if len(name) > maxName {
		return ""
	}
	low := strings.ToLower(name)
	best, bestDistance := "", (len(name)+2)/3+1
	for _, c := range candidates {
		lc := strings.ToLower(c)
		dist := distance(low, lc)
		if len(c) >= 3 && strings.HasPrefix(low, lc) || len(low) >= 3 && strings.HasPrefix(lc, low) {
			dist = min(dist, 1)
		}
		if dist < bestDistance {
			best, bestDistance = c, dist
		}
	}
	return best
}

func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
