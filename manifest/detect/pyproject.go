package detect

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// script is a console script: its name, and MODULE:FUNCTION.
type script struct{ name, target string }

// extras are what may be needed for a script, "module:func [extra]". They
// decide what is installed and not what is run.
var extras = regexp.MustCompile(`\s*\[[A-Za-z0-9._, -]*\]$`)

// pyproject is the first of [project.scripts], in the order of the file.
func (f *finder) pyproject() (*Plan, error) {
	const name = "pyproject.toml"
	const what = name + ": [project.scripts]"
	if !f.isFile(name) {
		f.missed(what, "no such file", "a console script")
		return nil, nil
	}
	b, err := f.parsed(name)
	if err != nil {
		return nil, err
	}
	scripts, err := consoleScripts(b)
	if err != nil {
		var at *toml.DecodeError
		line := 0
		if errors.As(err, &at) {
			line, _ = at.Position()
		}
		return nil, malformed(name, "text that is no TOML", "TOML 1.0", line)
	}
	if len(scripts) == 0 {
		f.missed(what, "none", "a console script")
		return nil, nil
	}
	s := scripts[0]
	module, object, ok := strings.Cut(extras.ReplaceAllString(s.target, ""), ":")
	module, object = strings.TrimSpace(module), strings.TrimSpace(object)
	if !ok || !isModule(module) || !isModule(object) {
		return nil, malformed(name, fmt.Sprintf("the script %s = %s", quote(s.name), quote(s.target)), "MODULE:FUNCTION", 0)
	}
	p := f.call(module, object)
	p.Evidence = []string{fmt.Sprintf("%s: %s = %s:%s is the first of [project.scripts]", name, quote(s.name), module, object)}
	if len(scripts) > 1 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s has %d scripts: the first is run", name, len(scripts)))
	}
	return p, nil
}

// consoleScripts returns the scripts in the order of the file, which a map
// would lose. The file is decoded once for its validity, as the parser that
// keeps the order does not look for keys given twice.
func consoleScripts(b []byte) (scripts []script, err error) {
	defer func() {
		if r := recover(); r != nil {
			scripts, err = nil, errors.New("text that the TOML parser cannot read")
		}
	}()
	var doc struct {
		Project struct {
			Scripts map[string]string `toml:"scripts"`
		} `toml:"project"`
	}
	var all map[string]any
	if err := errors.Join(toml.Unmarshal(b, &all), toml.Unmarshal(b, &doc)); err != nil {
		return nil, err
	}
	var p unstable.Parser
	p.Reset(b)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = keyOf(e)
		case unstable.KeyValue:
			scripts = appendScripts(scripts, table, e)
		}
	}
	return scripts, p.Error()
}

// appendScripts looks at a key and its value, which may be an inline table.
func appendScripts(scripts []script, table []string, e *unstable.Node) []script {
	key := slices.Concat(table, keyOf(e))
	v := e.Value()
	want := []string{"project", "scripts"}
	switch n := min(len(key), len(want)); {
	case !slices.Equal(key[:n], want[:n]):
	case v.Kind == unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			scripts = appendScripts(scripts, key, it.Node())
		}
	case v.Kind == unstable.String && len(key) == len(want)+1:
		scripts = append(scripts, script{key[len(want)], string(v.Data)})
	}
	return scripts
}

func keyOf(e *unstable.Node) []string {
	var key []string
	for it := e.Key(); it.Next(); {
		key = append(key, string(it.Node().Data))
	}
	return key
}
