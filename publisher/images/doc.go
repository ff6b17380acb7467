// Package images resolves the image references of a manifest to images that
// can be sealed. It adapts [apocryph/p2p/oci], which reads layouts, archives
// and registries, to [publisher.Resolver], and adds "ipfs:CID".
//
// Content that is already on IPFS is fetched by the publisher's own node. That
// node is an adapter of its own, so this package asks for it as a [Fetcher],
// which the assembly gives; without one such references are refused.
//
// Every reference ends in digests here: what is sealed later is the very bytes
// that were resolved, whatever happens to a tag in the meantime.
package images
