// Package state is what this publisher remembers between commands: which apps
// it deployed where, and which layers are encrypted already.
//
// It is a directory of small JSON files, one for each thing, so that a damaged
// one costs only itself: [State.List] returns the rest beside the error that
// names it. A file is replaced by writing another, syncing and renaming, so a
// reader sees the old or the new one at any moment of a crash. A file that a
// newer version wrote is refused and never overwritten.
//
// Several publishers may run at once. Each change happens under a file lock
// that lasts for that change; [State.Lock] is the longer one that keeps two
// deploys of one app apart. The kernel drops both when a process dies.
//
// The directory is 0700 and its files 0600. Layer keys are
// encrypted besides, with AES-256-GCM under a random key in the file "key", so
// that a copy of the records without that file has no secret in it. Without
// that file apps can still be listed and deployed anew.
//
//	key                  32 random bytes
//	apps/NAME.HASH.json  one app at one provider; HASH is of the provider's id
//	direct/NAME.HASH.json  one app at one HTTP API, in one namespace and environment
//	layers/HASH.json     one encrypted layer
//	machines/HASH.json   one TPM whose attestation key was activated
//	logs/HASH.json       what was seen of one provider's transparency log
//	locks/               files that are locked; they are never removed
package state
