// Package source turns what strangers upload into one tree of files.
//
// A [Tree] is a staging directory. [Tree.Add] streams one part into it, told
// by its content to be an archive ([KindTar], [KindTarGz], [KindTarZst],
// [KindZip]) or a file; several parts make one tree. [Tree.Commit] renames it
// to its place, so that a reader sees all of it or nothing, and [Sweep] removes
// what a crashed process has left.
//
// The parts are hostile. Whatever has two meanings is refused, not resolved:
// names with "..", backslashes or control characters, names that are one file
// where case or Unicode form is ignored, a zip whose two lists of names differ,
// entries below a link, and data behind the end of an archive. Files,
// directories and symbolic links are all there is. Links are relative and stay
// within: each is checked by its letters when it comes, and all are followed,
// each through the others, before [Tree.Digest] and [Tree.Commit]; a dangling
// link is allowed. A hard link becomes a copy. Owners, times, extended
// attributes and all of the mode but "executable" are dropped. Everything is
// written through [os.Root], which holds should a check here be wrong.
//
// [Limits] bound what comes out, while it comes out: sizes that an archive
// declares are at best a reason to stop earlier. Memory does not grow with the
// input: names are looked up on the disk and sorted in several passes, a zip's
// directory is read record by record, headers of a tar are capped, and so is
// the window of zstd, whose 8 MiB are the largest single amount.
//
// What was decided where formats leave a choice:
//   - gzip and zstd without a tar within are stored as they are, under their
//     own name, and so is an archive in an archive; a short one that does not
//     decompress is refused. An empty tar has no magic and is a file, too.
//   - A zip is always unpacked, so a jar or wheel to be kept goes into a tar.
//   - gzip may have several members, and zeros at its end; a tar ends with a
//     block of zeros (without one it is truncated) and zeros alone follow.
//   - Contents that begin as ELF or "#!" are executable where nothing has a
//     mode: parts of a form, and zips that were not made on Unix.
//   - A directory may be named again; anything else has a name once.
//
// The digest of a tree ([Tree.Digest]) covers names, kinds, the executable bit,
// contents and link targets, and nothing else.
package source
