package attest

// TransparencyFacts are what a verifier saw of the provider's transparency log.
// The log is the provider's own word; what makes it worth something is that it
// cannot be changed afterwards without whoever saw it finding out.
type TransparencyFacts struct {
	// Included: the digest of these claims is in the log.
	Included bool
	// Grown: the log was compared with the last one that this verifier had seen,
	// and has only been appended to. It is false at the first contact.
	Grown bool
	// Size is the number of the log's entries, Number that of these claims.
	Size, Number int64
}
