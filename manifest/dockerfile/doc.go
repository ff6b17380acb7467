// Package dockerfile reads the instructions of a Dockerfile for what they need from
// elsewhere: the images behind FROM, COPY --from and RUN --mount=from.
//
// A builder that resolves names by itself fetches whatever a registry serves at that
// moment, over whatever network it has, and tells nobody which bytes it was. Here the
// names are read first ([Parse], [File.Images]), so that somebody else can resolve
// each to a digest and bring it; then the file is written again with names of local
// images in their places ([File.Render]), for a builder that has no registry.
//
// The syntax is read by BuildKit's parser, which is the reference. Other builders
// read it a little differently, so what is rendered leaves them nothing to
// differ about: one instruction a line, without comments and continuations, and with
// the names of images and stages written out. What one builder would read as
// another thing than this package is refused: heredocs, an instruction that still ends in
// the escape character, a stage and an image of the same name.
//
// FROM takes the arguments that are declared before the first FROM, by their defaults,
// and those that every builder knows of its platform (TARGETARCH and the like); the
// platform is this machine's. References to earlier stages and the image "scratch" name
// nothing from elsewhere.
package dockerfile
