// Package build makes a plain OCI image of a tree of files, without a daemon.
//
// [Builder.Build] has one path for each [Runtime]. A directory of files to be
// served, and a Linux executable, become images of two layers: what all apps of the
// runtime share, which is therefore encrypted and kept once, and the app. An
// archive that is an image already stays as it is. None of these runs anything or needs the
// network.
//
// Sources of a language are built by a [detect.Plan]. Python and Node get a base
// image ([Bases], [Catalog]), a layer of dependencies and a layer of the tree in
// /app. Dependencies are in the tree, or are pinned by hash in a lock file, or the
// build is refused: what may be another thing tomorrow makes no image. What a
// lock file names a command downloads, in a [Job] of an isolated [Runner]; its
// output is as hostile as an upload. It is held to the hashes of the lock file here, and
// unpacked here, by the same code as wheels in the tree, so that no installer runs.
// Go is compiled by a Job in a toolchain image, with -trimpath and without cgo, and what it
// leaves is looked at as an executable that was uploaded. A Dockerfile is
// built by a Job too, with all times 0. The images that it names are resolved to digests
// here (package manifest/dockerfile, [Config.Pull]), brought as OCI layouts, and are
// materials: the Job asks no registry. Whether commands give the same bytes twice is
// theirs to say.
//
// Left out of an app's layer are the history of a version control, __pycache__ and
// .venv, which differ between machines that have the same sources, and wheels, which are unpacked
// instead. What went in is in [Result.Materials] and [Result.Packages].
//
// The same input gives the same image, byte for byte, whatever the clock, the
// machine, the place of the files and the umask: entries of a layer are
// sorted, belong to root, have the time 0 and one of two modes, and layers are
// not compressed, for they move no further than this machine's disk. The
// certificates of authorities come from a module that go.sum pins, and not from
// the host.
//
// An executable is refused here where it could not start: another machine's,
// one that needs a dynamic linker that the image does not have, a script without
// its interpreter. What was decided and from what is in [Result.Evidence]. All
// images run as user 65532, which owns nothing in them.
//
// Nothing that is uploaded is trusted: links may not lead out of the tree, devices are
// refused, counts and sizes are capped. Layers are plain, in files of mode 0600
// below [Config.Dir], until [Result.Close].
package build
