package client

// The codes of the checks that this package makes itself; attest/README.md has
// the table.
const (
	codeTooLarge   = "ATT-010"
	codeParse      = "ATT-011"
	codePeer       = "ATT-022"
	codeAKArea     = "ATT-090"
	codeActivation = "ATT-092"
	codeManifest   = "ATT-110"
	codeImages     = "ATT-111"
	codeReceipt    = "ATT-114"
	codeProvenance = "ATT-120"
	codeLogged     = "ATT-124"
	codePolicy     = "ATT-160"
	codeInternal   = "ATT-190"
)

// The warnings of a report begin with these.
const (
	// WarnNotBound: the evidence says nothing about the connection.
	WarnNotBound = "NOT BOUND"
	// WarnNotFresh: the nonce is the document's own word.
	WarnNotFresh = "freshness is not shown"
	// WarnUnauthenticated: the repository was asked without TLS.
	WarnUnauthenticated = "the branch was asked for over an unauthenticated connection"
	// WarnThen: it was judged at another time than now.
	WarnThen = "judged at another time"
)
