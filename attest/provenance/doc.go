// Package provenance says how an image was built, in the words of SLSA v1, signed
// by the attested key of the machine that built it.
package provenance
