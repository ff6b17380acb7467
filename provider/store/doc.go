// Package store keeps what survives of each pod in one SQLite file.
//
// The provider core holds the state machine and treats the store as a durable
// map from pod to [provider.Record]: [DB.Save] replaces a record in one
// transaction, [DB.Load] returns them all at start, [DB.Delete] forgets one. A
// call that returned nil has reached the disk (write-ahead log, synchronous
// FULL), and one that was interrupted at any instruction has left the previous
// record whole.
//
// The disk is outside the TEE, so its owner may read and write the file. What
// is secret (manifest, image keys, secret files, confirmation) is sealed per
// cell with AES-256-GCM under the data key; the additional data is
// "table/column/rowid", so a cell can't be moved. Everything else of a record
// is authenticated by a tag under the same key: a changed publisher, revision
// or endpoint is found at [DB.Load]. What this can't see is the whole file, or
// a whole row, being put back to an earlier state of itself; freshness is for
// the pod log, which is measured.
//
// The data key comes from the caller and is that of the machine's measured
// state (sealed to the TPM's boot PCRs, derived by the processor, or a key file
// on soft). Another state has another key, so each row names the one that it is
// sealed with. A row of another key is loaded without its secrets, marked
// [provider.Record.Locked], and stays as it is until its pod is deployed anew or
// deleted: when the earlier state comes back it opens again. Nobody vouches for
// what stands in the clear of such a row.
//
// The file has an application id and a schema version. The transparency log lies in the same file in the clear, for it is public; its
// last signed head has a file of its own ([HeadFile]). Migrations are numbered
// files that run forward only; a file of a newer version is refused. One
// connection holds an exclusive lock for as long as the store is open: there
// is one writer, there is no shared-memory file, and a second provider on the
// same data dir is told so.
package store
