package policy

// nearest is the name that s was probably meant to be, "" where none is close:
// two letters may differ, in a long name a third of them, in a short one one.
func nearest(s string, names []string) string {
	// Longer than any name, and the table below is quadratic.
	const longest = 40
	if len(s) > longest {
		return ""
	}
	best, at := "", longest
	for _, name := range names {
		if d := distance(s, name); d < at && d <= max(min(2, len(name)/2), len(name)/3) {
			best, at = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, drop or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
