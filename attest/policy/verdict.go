package policy

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"apocryph/attest"
)

// SummaryLine is a verdict on one line: what was proved, or which check
// decided against and why.
func SummaryLine(v attest.Verdict) string {
	if !v.Affirmed {
		return denial(v) + warnings(v)
	}
	return fmt.Sprintf("affirmed: %s, platform %s, until %s%s", v.Level, shortPlatform(v.Platform), stamp(v.ExpiresAt), warnings(v))
}

func denial(v attest.Verdict) string {
	c, failed := v.Failed()
	if !failed {
		return "denied: no appraisal was completed"
	}
	s := fmt.Sprintf("denied: %s %s: got %s, want %s", c.Code, oneLine(c.Name), printable(c.Got), oneLine(c.Want))
	if c.Policy != "" {
		s += " (" + oneLine(c.Policy) + ")"
	}
	return s
}

func warnings(v attest.Verdict) string {
	if len(v.Warnings) == 0 {
		return ""
	}
	var short []string
	for _, w := range v.Warnings {
		head, _, _ := strings.Cut(w, ":")
		short = append(short, printable(head))
	}
	return " (" + strings.Join(short, "; ") + ")"
}

// ExplainVerdict is a verdict as a table for people: a check a line, with what
// was got and wanted, what makes it believable and which line of the policy
// asked. Long values are cut in the table; those of the check that decided
// against stand above it in full.
func ExplainVerdict(v attest.Verdict) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, oneLine(value))
		}
	}
	if v.Affirmed {
		line("verdict", "AFFIRMED")
		line("expires", stamp(v.ExpiresAt))
	} else {
		line("verdict", "DENIED")
		because(v, line)
	}
	line("level", string(v.Level))
	line("platform", v.Platform)
	for _, w := range v.Warnings {
		line("warning", w)
	}
	if len(v.Checks) > 0 {
		b.WriteByte('\n')
		table(&b, v.Checks)
	}
	return b.String()
}

func because(v attest.Verdict, line func(name, value string)) {
	c, failed := v.Failed()
	if !failed {
		line("because", "no appraisal was completed")
		return
	}
	line("because", c.Code+" "+c.Name)
	line("got", c.Got)
	line("want", c.Want)
	line("asked by", c.Policy)
}

func table(b *strings.Builder, checks []attest.Check) {
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	// A strings.Builder takes every write.
	_, _ = fmt.Fprintln(t, "\tCODE\tCHECK\tANCHOR\tGOT\tWANT\tASKED BY")
	for _, c := range checks {
		mark, asked := "ok", c.Policy
		if !c.OK {
			mark = "FAIL"
		}
		if asked == "" {
			asked = "always"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			mark, oneLine(c.Code), oneLine(c.Name), dash(string(c.Anchor)), cell(c.Got), cell(c.Want), oneLine(asked))
	}
	_ = t.Flush()
}

// cell is a value cut to what fits into a column.
func cell(s string) string {
	const longest = 28
	s = oneLine(s)
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest-1]) + "…"
	}
	return dash(s)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func shortPlatform(s string) string {
	const enough = 16
	if s == "" {
		return "unknown"
	}
	return printable(s[:min(len(s), enough)])
}
