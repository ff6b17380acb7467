package slug

import (
	"fmt"
	"strings"

	"apocryph/manifest/internal/strictyaml"
	"apocryph/proto/status"
)

// The bounds of a list, of bytes and of slugs: each becomes a fetch and a build.
const (
	MaxListBytes = 256 << 10
	MaxListItems = 256
)

// maxPath bounds a path in a repository, in bytes.
const maxPath = 512

// Item is one app of a list.
type Item struct {
	Slug Slug
	// Name is the app's as the list says it, a DNS label; may be empty, see [Item.AppName].
	Name string
	// Path is the directory of the app in the repository, clean and without a
	// slash first; empty is the root.
	Path string
	// Line is where the item stands, from 1.
	Line int
}

// AppName is the name of the app: that of the list, else one made of the path's
// last element, else of the repository's name.
func (i Item) AppName() string {
	switch {
	case i.Name != "":
		return i.Name
	case i.Path != "":
		return label(i.Path)
	}
	return i.Slug.Name()
}

type (
	reader = strictyaml.Doc
	node   = strictyaml.Node
)

var itemTable = strictyaml.Table[Item]{Fields: []strictyaml.Field[Item]{
	{Name: "slug", Required: true, Set: func(d *reader, n node, i *Item) { i.Slug = readSlug(d, n) }},
	{Name: "name", Set: func(d *reader, n node, i *Item) {
		if s, ok := d.Word(n); ok && (!labelPattern.MatchString(s) || len(s) > maxName) {
			d.Refuse(n, n.Shown(), "a DNS label in lower case of at most 40 characters")
		} else if ok {
			i.Name = s
		}
	}},
	{Name: "path", Set: func(d *reader, n node, i *Item) {
		s, ok := d.Word(n)
		if !ok {
			return
		}
		if s = strings.TrimSuffix(strings.TrimPrefix(s, "./"), "/"); s == "." {
			return
		}
		if len(s) > maxPath || checkPath(s) != nil {
			d.Refuse(n, n.Shown(), "a path below the root of the repository, of letters, digits and . _ ~ + - between single slashes")
			return
		}
		i.Path = s
	}},
}}

var listTable = strictyaml.Table[[]Item]{Fields: []strictyaml.Field[[]Item]{
	{Name: "slugs", Required: true, Set: readItems},
}}

// ParseList reads a list of slugs, YAML or JSON, of at most [MaxListBytes] and
// [MaxListItems]: a list, or {slugs: […]}. An element is a slug, or {slug,
// name, path}. Nothing may stand in it twice: no slug with the same path, and
// no name of an app. The error is invalid_argument, slug.list, and names each
// fault with its line.
func ParseList(data []byte) ([]Item, error) {
	d, root := strictyaml.Parse(data, MaxListBytes)
	var items []Item
	switch {
	case root.IsList():
		readItems(d, root, &items)
	case root.IsMap():
		listTable.Read(d, root, &items)
	case len(d.Faults()) == 0:
		d.Refuse(root, root.Shown(), "a list of slugs")
	}
	faults := d.Faults()
	if len(faults) == 0 {
		return items, nil
	}
	out := make([]status.Fault, len(faults))
	for i, f := range faults {
		out[i] = status.Fault(f)
	}
	return nil, status.Invalid("slug.list", "the list", out)
}

func readItems(d *reader, n node, items *[]Item) {
	elements := d.List(n, MaxListItems)
	if n.IsList() && len(elements) == 0 {
		d.Refuse(n, "an empty list", "a slug at least")
	}
	type app struct {
		slug Slug
		path string
	}
	slugs, names := map[app]int{}, map[string]int{}
	for _, e := range elements {
		item := Item{Line: e.Line()}
		if e.IsMap() {
			itemTable.Read(d, e, &item)
		} else {
			item.Slug = readSlug(d, e)
		}
		if item.Slug == (Slug{}) {
			continue
		}
		key, name := app{item.Slug, item.Path}, item.AppName()
		switch {
		case slugs[key] != 0:
			d.Refuse(e, item.Slug.String()+" a second time", fmt.Sprintf("it once, first on line %d", slugs[key]))
		case names[name] != 0:
			d.Refuse(e, fmt.Sprintf("a second app called %s, the first on line %d", name, names[name]), "another name: {slug: …, name: …}")
		}
		slugs[key], names[name] = item.Line, item.Line
		*items = append(*items, item)
	}
}

// readSlug returns the zero value for what is none.
func readSlug(d *reader, n node) Slug {
	text, ok := d.String(n)
	if !ok {
		return Slug{}
	}
	s, f := parse(text)
	if f != nil {
		d.Refuse(n, f.Field+" "+f.Got, f.Want)
		return Slug{}
	}
	return s
}
