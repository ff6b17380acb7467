// Package detect decides from a tree of files how to build and run it.
//
// Build packs and platforms guess: they score frameworks, and the order in
// which a directory happens to be listed can decide. Here a fixed list of rules
// is gone through, the first that is satisfied wins, and where it is satisfied
// twice (two packages that could be the program) the answer is an error that
// names both. The same tree always has the same [Plan], which says why in words.
//
//  1. the entry that the caller names, [Options]
//  2. the label ENTRYPOINT: labels: {ENTRYPOINT: …} in apocryph.yaml, then in
//     project.json, then LABEL ENTRYPOINT=… of the last stage of a Dockerfile
//  3. Python: __main__.py or main.py at the root, the first of
//     [project.scripts] in pyproject.toml, PACKAGE/__main__.py, and
//     src/PACKAGE/__main__.py
//  4. Procfile: web, else its first process
//  5. Go: go.mod, and package main at the root or in a single cmd/NAME
//  6. Node: package.json: scripts.start, main, index.js, server.js
//  7. Dockerfile
//  8. a static site: index.html at the root, or in public, dist, build or site
//  9. an executable called main: an ELF file of Linux, or one with "#!"
//
// [Options.Runtime] leaves out the rules of all other runtimes. The label takes
// what an entry is: a path in the tree, a command as a JSON array of words or
// as a line, or MODULE[:FUNCTION] of Python.
//
// Trees come from strangers. Everything is read through an [io/fs.FS], which
// cannot be left; each file, each directory and their sum are capped, parsers
// of other people's formats are recovered from, and what is taken into a
// program's text (a console script) is checked to be an identifier first.
package detect
