package dockerfile

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// platformArgs are what builders know without a declaration (Dockerfile reference,
// "Automatic platform ARGs in the global scope"). What is built runs where it is built.
func platformArgs(p Platform) map[string]string {
	out := map[string]string{}
	for _, of := range []string{"TARGET", "BUILD"} {
		out[of+"PLATFORM"], out[of+"OS"], out[of+"ARCH"], out[of+"VARIANT"] = p.String(), p.OS, p.Architecture, p.Variant
	}
	return out
}

// heading takes the defaults of an ARG before the first FROM. One without is unknown.
func (r *reader) heading(n *parser.Node) {
	for _, w := range words(n) {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			continue
		}
		value, err := r.expand(value)
		if err != nil {
			r.fault(n.StartLine, clip(w), err.Error())
			continue
		}
		r.args[name] = value
	}
}

// env gives the lexer the arguments.
type env map[string]string

func (e env) Get(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

func (e env) Keys() []string { return slices.Sorted(maps.Keys(e)) }

// expand puts arguments in their places, as in a shell: $X, ${X}, ${X:-word}. Its
// error is what is wanted instead.
func (r *reader) expand(word string) (string, error) {
	if len(word) > maxWord {
		return "", errors.New("a shorter word")
	}
	lex := shell.NewLex(r.file.escape)
	out, err := lex.ProcessWordWithMatches(word, env(r.args))
	if err != nil {
		return "", errors.New("a word without wrong substitutions")
	}
	for _, name := range slices.Sorted(maps.Keys(out.Unmatched)) {
		// ${X:-word} has a word for what is not set.
		if plain := regexp.MustCompile(`\$(` + regexp.QuoteMeta(name) + `([^A-Za-z0-9_]|$)|\{` + regexp.QuoteMeta(name) + `\})`); plain.MatchString(word) {
			return "", errors.New("ARG " + name + " before the first FROM, with a default")
		}
	}
	if len(out.Result) > maxName {
		return "", errors.New("a shorter word")
	}
	return out.Result, nil
}
