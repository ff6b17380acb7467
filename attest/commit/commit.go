package commit

import "time"

// Commit is what a commit object says. Values come from [Parse].
type Commit struct {
	// ID and Tree are the object ids, hex; Parents those of the commits before.
	ID, Tree string
	Parents  []string
	Author   Person
	// Committer is who made the object.
	Committer Person
	// Subject is the first line of the message.
	Subject string
	// Signature is the armoured signature, empty where there is none, and Signed
	// the bytes that it covers: the object without the signature's header.
	Signature string
	Signed    []byte
}

// Person is an author or committer with the time that they claim.
type Person struct {
	Name, Email string
	Time        time.Time
}

// Signer is who signed a commit, once a signature was verified with a key.
type Signer struct {
	// Kind is "ssh" or "pgp".
	Kind string
	// Key is the fingerprint: "SHA256:…" of an SSH key, upper-case hex of a PGP key.
	Key string
	// Name is what the list of keys calls it: the principal, or the user id.
	Name string
}
