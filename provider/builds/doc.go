// Package builds queues builds and carries them out: from a commit, or from
// uploaded files, to a sealed image with its provenance.
//
// A [Build] goes through the stages queued, fetching (of a commit alone),
// detecting, compiling, sealing and done. Each is stored before anybody hears of
// it, so a caller who polls sees a progress that never goes back, also over a
// restart. [Queue] takes one namespace after the other (round robin), so that
// whoever submits a hundred builds waits for his own; how many wait is bounded for
// a namespace and in all.
//
// # Crashes
//
// A build is acknowledged when its record is durable. Files that were uploaded are
// moved into the build's directory before (write, syncfs, rename, fsync of the
// directory), so a build that waits goes on after a restart. One that ran is queued
// once more, and fails with the reason when the process ends a second time below
// it: what kills a process may be the build itself. What an attempt left (an
// artifact's record, the pins of an image) has the build's id, and is removed
// before the next. A credential that was lent for one build is in no record: where it
// is still needed after a restart, the build fails and says so.
//
// # What comes out
//
// A build makes an image. It is sealed as a publisher would seal it, and pinned by
// the build; beside it there is an artifact for people: the executable of a Go
// program, else a thin archive of the image, without the layers of its base. Whoever
// deploys the artifact by its id gets the sealed image, [Queue.Image]. It stays as
// long as the artifact does.
//
// The provenance statement (SLSA v1) says what this provider itself fetched and
// did. A commit that an uploader names is no part of it.
package builds
