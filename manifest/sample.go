package manifest

import (
	_ "embed" // the sample is a file, so that editors check it
	"strings"
)

//go:embed sample.yaml
var sample string

// Sample returns a commented manifest file for a new app, which [ParseFile]
// accepts. Name may be anything, such as a directory's: it becomes a DNS label.
func Sample(name string) []byte {
	return []byte(strings.ReplaceAll(sample, "NAME", sampleName(name)))
}

func sampleName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	s = strings.Trim(s[:min(len(s), maxName)], "-")
	if s == "" {
		return "app"
	}
	return s
}
