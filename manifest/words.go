package manifest

import (
	"errors"
	"strings"
)

// shellOperators are words that only a shell understands. A command is never
// run by one, and would get them as arguments without a complaint.
var shellOperators = []string{"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"}

// splitWords splits a command line into words by the quoting rules of the
// POSIX shell (XCU 2.2): blanks separate, single quotes keep everything,
// double quotes keep all but a backslash before \ " $ and the back quote, and
// a backslash keeps the next character. Nothing is expanded.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote byte
	begun, quoted := false, false
	flush := func() error {
		if !begun {
			return nil
		}
		w := word.String()
		for _, op := range shellOperators {
			if w == op && !quoted {
				return errors.New("no " + op + ": there is no shell; write [sh, -c, '...'] to have one")
			}
		}
		words = append(words, w)
		word.Reset()
		begun, quoted = false, false
		return nil
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			if err := flush(); err != nil {
				return nil, err
			}
			continue
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun, quoted = c, true, true
			continue
		case quote != 0 && c == quote:
			quote = 0
			continue
		case c == '\\' && (quote == 0 || quote == '"' && i+1 < len(s) && strings.IndexByte("\\\"$`", s[i+1]) >= 0):
			if i++; i == len(s) {
				return nil, errors.New("something after the last backslash")
			}
			c, quoted = s[i], true
		}
		word.WriteByte(c)
		begun = true
	}
	if quote != 0 {
		return nil, errors.New("an end for the quote " + string(quote))
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return words, nil
}
