package attest

// PodLogFacts is what a provider's log of pods proves, after it was replayed to
// an authentic register or to the head in the claims (package podlog).
type PodLogFacts struct {
	// Register is where it is anchored: "pcr14", "rtmr3", or "none" where the
	// claims alone name its head.
	Register string
	// Length is the number of records, Events how many there are of each kind,
	// such as "ready".
	Length uint64
	Events map[string]int
	// AccessPaths are the ways into the machine that its configuration names
	// beside the protocol and the ingress, such as "ssh".
	AccessPaths []string
}
