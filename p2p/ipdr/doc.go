// Package ipdr keeps an OCI image as one UnixFS directory that two kinds of
// readers understand.
//
// To ipdr, the InterPlanetary Docker Registry, it is a registry tree:
// manifests/latest, manifests/TAG, manifests/sha256:HEX and blobs/sha256:HEX.
// To OCI tools it is an image layout: oci-layout, index.json and
// blobs/sha256/HEX. Both names of a blob are links to the same DAG, so the
// second one costs a link. Bytes are kept verbatim: digests, and whatever signs
// them, survive.
//
// Documents about an image ([Referrer]) are artifacts whose subject is its manifest.
// Registry tools find them by the tag that the OCI distribution specification falls
// back to, manifests/sha256-HEX; index.json goes on naming the image alone, so that
// nobody who wants the one image has to choose.
//
// [Build] makes the directory of an image whose layers are files. [Open] brings
// the directory, the manifest and the configuration of a stranger's image,
// checks them against the digests that the caller and they themselves name, and
// offers the layers, which arrive as they are read.
package ipdr
