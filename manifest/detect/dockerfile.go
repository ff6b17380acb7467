package detect

import "strings"

// dockerfiles are the names that builders look for.
var dockerfiles = []string{"Dockerfile", "Containerfile"}

// dockerfile is rule 7.
func (f *finder) dockerfile() (*Plan, error) {
	for _, name := range dockerfiles {
		if f.isFile(name) {
			return &Plan{Runtime: Dockerfile, Entry: name, Evidence: []string{name + " is at the root"}}, nil
		}
	}
	f.missed(dockerfiles[0], "no such file", "instructions to build an image")
	return nil, nil
}

// dockerLabel returns the label ENTRYPOINT of the last stage, "" where there is
// none, and its line. Of the format (Dockerfile reference) it reads comments,
// continued lines and LABEL; what is in here-documents is not told from
// instructions.
func dockerLabel(text string) (value string, at int) {
	logical, start := "", 0
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if trimmed := strings.TrimLeft(line, " \t"); strings.HasPrefix(trimmed, "#") || trimmed == "" {
			continue
		}
		if logical == "" {
			start = i + 1
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			logical += rest + " "
			continue
		}
		logical += line
		instruction, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(logical, "\t", " ")), " ")
		logical = ""
		switch strings.ToUpper(instruction) {
		case "FROM":
			value, at = "", 0
		case "LABEL":
			if v, ok := labelIn(strings.TrimSpace(rest)); ok {
				value, at = v, start
			}
		}
	}
	return value, at
}

// labelIn finds ENTRYPOINT among KEY=VALUE pairs, or in the old form KEY VALUE.
func labelIn(text string) (value string, found bool) {
	if key, rest, _ := strings.Cut(text, " "); key == labelName {
		return strings.Trim(strings.TrimSpace(rest), `"'`), true
	}
	for _, word := range unquoted(text) {
		if key, v, ok := strings.Cut(word, "="); ok && key == labelName {
			value, found = v, true
		}
	}
	return value, found
}

// unquoted splits text at blanks that are not quoted, and takes quotes and
// backslashes away.
func unquoted(text string) []string {
	var words []string
	var word strings.Builder
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		case c == ' ' && quote == 0:
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteByte(c)
		}
	}
	return append(words, word.String())
}
