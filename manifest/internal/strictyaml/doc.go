// Package strictyaml reads the small YAML files that people write for
// Apocryph, and says everything that is wrong with one at once.
//
// It works on the node tree of a YAML parser and not on Go structs, for three
// reasons. A fault needs the line it is on. A number must keep the digits of
// the source, so that an environment variable 1.10 does not become 1.1. And
// one field often has several forms, which struct tags cannot say.
//
// A file is a single document. Anchors, aliases, merge keys and explicit tags
// are refused: they make text mean something that is written elsewhere, and
// aliases make small files expand without bound. A key given twice is a fault
// and not the last one wins. Size, depth, list lengths and the number of
// faults are capped.
//
// [Parse] returns a [Doc], which collects the faults, and its root [Node]. A
// mapping with fixed fields is described by a [Table], the one place that
// knows which fields exist: the parser runs it and a JSON Schema is generated
// from it. An unknown field is answered with the nearest known one, see
// [apocryph/proto/nearest.Name].
package strictyaml
