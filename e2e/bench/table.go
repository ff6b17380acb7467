package main

import (
	"fmt"
	"slices"
	"strings"
)

// sample is what one side measured.
type sample []float64

func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func (s sample) text(unit string) string {
	switch {
	case len(s) == 0:
		return "-"
	case len(s) == 1:
		// A count has no unit.
		return strings.TrimSpace(number(s[0]) + " " + unit)
	}
	return fmt.Sprintf("%s %s (%s to %s)", number(s.median()), unit, number(slices.Min(s)), number(slices.Max(s)))
}

func number(f float64) string {
	if f >= 20 || f == 0 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.1f", f)
}

// row is one figure beside its yardstick.
type row struct {
	measure, yardstick string
	unit               string
	ours, theirs       sample
	// least or most is the aim for the ratio, or for the figure itself where
	// there is no yardstick.
	least, most float64
}

func (r row) cells() []string {
	figure, ratio := r.ours.median(), "-"
	if len(r.theirs) > 0 {
		figure /= r.theirs.median()
		ratio = fmt.Sprintf("%.2f", figure)
	}
	aim, met := "-", ""
	switch {
	case r.least > 0:
		aim, met = fmt.Sprintf(">= %g", r.least), yes(figure >= r.least)
	case r.most > 0:
		aim, met = fmt.Sprintf("<= %g", r.most), yes(figure <= r.most)
	}
	return []string{r.measure, r.ours.text(r.unit), r.yardstick, r.theirs.text(r.unit), ratio, aim, met}
}

func yes(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}

// table is what a run prints.
type table struct {
	rows  []row
	steps []steps
}

func (t *table) add(r row) {
	t.rows = append(t.rows, r)
	note("%s", strings.Join(r.cells(), " | "))
}

func (t *table) markdown() string {
	var b strings.Builder
	head := []string{"measure", "ours", "yardstick", "the yardstick's", "ratio", "aim", ""}
	line(&b, head)
	line(&b, slices.Repeat([]string{"---"}, len(head)))
	for _, r := range t.rows {
		line(&b, r.cells())
	}
	for _, s := range t.steps {
		fmt.Fprintf(&b, "\n%s\n\n", s.title)
		line(&b, []string{"step ends with", "ms since the start", "ms of the step"})
		line(&b, slices.Repeat([]string{"---"}, 3))
		last := 0.0
		for _, name := range s.order {
			at := s.at[name].median()
			line(&b, []string{name, fmt.Sprintf("%.0f", at), fmt.Sprintf("%.0f", at-last)})
			last = at
		}
	}
	return b.String()
}

func line(b *strings.Builder, cells []string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// steps are the moments of one kind of command, over several runs.
type steps struct {
	title string
	order []string
	at    map[string]sample
}

// add notes that a step ended so many milliseconds after the start.
func (s *steps) add(name string, ms float64) {
	if s.at == nil {
		s.at = map[string]sample{}
	}
	if _, known := s.at[name]; !known {
		s.order = append(s.order, name)
	}
	s.at[name] = append(s.at[name], ms)
}

// sort puts the steps in the order of their medians.
func (s *steps) sort() {
	slices.SortStableFunc(s.order, func(a, b string) int {
		switch d := s.at[a].median() - s.at[b].median(); {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return 0
	})
}
