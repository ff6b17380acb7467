// Package sbom writes bills of materials: which packages are in an image.
//
// A bill is a CycloneDX 1.6 document in JSON. Its subject is a container, named by
// the digest of the image's configuration, and its components are packages with
// their package URL (purl-spec), the digest of the archive that they came in and
// their licence as an SPDX expression.
//
// Bills are deterministic: the same packages give the same bytes, so that a bill's
// digest can stand in a statement about a build and be made again by somebody else.
// That is why they have no serial number and no time, which CycloneDX leaves
// open to do without, and why components are in the order of their package URLs.
package sbom
