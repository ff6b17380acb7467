// Package images brings the images of pods, still encrypted, and keeps them.
//
// An image is named by the root CID of its directory and pinned by two digests:
// that of the encrypted manifest, which is what is pulled, and that of the
// configuration, the image id, which is the same before and after encryption.
// Both are checked before a layer is asked for. The publisher is asked first,
// over the connection that it opened; whoever else has the blocks comes after.
//
// Each owner, a replica of a revision, pins the roots it needs. A pin is made
// before anything is fetched, so that what a crash leaves is either owned or
// garbage, and the garbage is collected when an owner gives up its pins.
package images
