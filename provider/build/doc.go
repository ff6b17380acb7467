// Package build makes a plain OCI image of what was uploaded, without a daemon,
// without running anything, and without the network.
//
// [Builder.Build] has one path for each [Runtime]: a directory of files to be
// served, a Linux executable, or an archive that is an image already. The first
// two become images of two layers: what all apps of the runtime share, which
// is therefore encrypted and kept once, and the app.
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
