package publisher

// Event is one step of a deploy as it happens, for terminals and scripts. It
// is also a line of --json.
type Event struct {
	// Event is the step: "resolve", "seal", "find", "attest", "verdict", "build",
	// "built", "quote", "publish", "provision", "answer" or "result". Of a build, Text
	// is a line of its log where Stage is empty.
	Event    string `json:"event"`
	Text     string `json:"text,omitempty"`
	Provider string `json:"provider,omitempty"`
	Image    string `json:"image,omitempty"`
	Stage    string `json:"stage,omitempty"`
	// Done and Total are bytes, Rate bytes per second.
	Done   int64  `json:"done,omitempty"`
	Total  int64  `json:"total,omitempty"`
	Rate   uint64 `json:"rate,omitempty"`
	Source string `json:"source,omitempty"`
	// Percent is how far a build is, Commit what was built.
	Percent int    `json:"percent,omitempty"`
	Commit  string `json:"commit,omitempty"`
	// Final marks the end of a step that reports bytes.
	Final bool `json:"final,omitempty"`
}
