package source

import (
	"context"
	"errors"
	"io"
)

// AddFile adds one file for readers that have names and contents by themselves,
// such as those of a repository. The directories above it are made. The checks,
// limits and errors are those of [Tree.Add], whose parts are numbered with it.
func (t *Tree) AddFile(ctx context.Context, name string, r io.Reader, program bool) error {
	x := plain
	if program {
		x = executable
	}
	return t.addEntry(ctx, name, r, func(p *part, name string) error { return p.file(name, p.src, x) })
}

// AddLink is [Tree.AddFile] for a symbolic link.
func (t *Tree) AddLink(ctx context.Context, name, target string) error {
	return t.addEntry(ctx, name, nil, func(p *part, name string) error { return p.symlink(name, target) })
}

func (t *Tree) addEntry(ctx context.Context, name string, r io.Reader, add func(*part, string) error) error {
	if t.end != nil {
		return t.end
	}
	if t.strip > 0 {
		return errors.New("adding to a tree after its components were stripped")
	}
	t.parts++
	t.checked = false
	p := &part{t: t, ctx: ctx.Err, number: uint32(t.parts), name: base(name)}
	p.src = &upload{p: p, r: r, left: t.limits.stream()}
	clean, err := p.clean(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = add(p, clean)
	}
	if err != nil {
		return t.fail(err)
	}
	return nil
}
