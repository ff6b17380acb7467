// Package manifest is the description of an app: what runs, with which
// resources, behind which ports, and what its publisher may do inside it.
//
// A manifest has two forms. People write a loose one in YAML or JSON, where a
// command may be text or a list, a port a number, and a volume may be defined
// where it is mounted. [ParseFile] reads it strictly: an unknown field is a
// fault and never ignored, and all faults are reported at once, each with its
// line. It writes the short forms out and fills in every default, so that a
// [Manifest] means the same in every later version.
//
// On the wire there is exactly one encoding of each manifest, the canonical
// one: protobuf, fields in ascending order, nothing that is a default, lists
// without an order of their own sorted by name. [Marshal] writes it and
// [Unmarshal] refuses everything else, because the [Digest] of the bytes is
// what gets measured, attested and compared. The encoder is this package's
// own: the protobuf library keeps no order over versions.
//
// A wire manifest has its images pinned: the CID of the encrypted image on
// IPFS, the digest of the manifest that is pulled, and the image id (the digest
// of the configuration, the same before and after encryption). Image
// references and the sources of secrets stay with the publisher.
//
// [Manifest.Validate] holds for both forms. It is about what a manifest says.
// Whether a provider has the resources, the runtime class or the external port
// is the provider's to answer.
//
// Each mapping of the file is one table. The parser runs the tables and
// [Schema] is generated from them, so the schema in schema.json that editors
// use knows the same fields.
package manifest
