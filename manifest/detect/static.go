package detect

import "path"

// siteDirs are where generators put a site.
var siteDirs = []string{"public", "dist", "build", "site"}

// static is rule 8.
func (f *finder) static() (*Plan, error) {
	plan := func(dir string) *Plan {
		return &Plan{Runtime: Static, Entry: dir, Evidence: []string{path.Join(dir, "index.html") + " makes a static site"}}
	}
	if f.isFile("index.html") {
		return plan("."), nil
	}
	var found []string
	for _, dir := range siteDirs {
		if f.isFile(dir + "/index.html") {
			found = append(found, dir)
		}
	}
	switch len(found) {
	case 0:
		f.missed("index.html", "no such file, at the root or in "+words(siteDirs), "a static site")
		return nil, nil
	case 1:
		return plan(found[0]), nil
	}
	return nil, ambiguous("static sites", found, "name one: the entry "+found[0])
}

// binary is rule 9.
func (f *finder) binary() (*Plan, error) {
	const name = "main"
	p, why, err := f.executable(name)
	if err == nil && p == nil {
		f.missed(name, why, "an executable of Linux at the root, which becomes "+inApp(name))
	}
	return p, err
}
