package httpapi

// access is who an operation is for.
type access int

const (
	// callers are those who authenticate; what they may do depends on the
	// namespace, and is decided in the handler.
	callers access = iota
	// operator is the operator alone.
	operator
	// readers are everybody, once any authentication is configured: without it,
	// this API says nothing over TCP.
	readers
	// everybody needs no credential.
	everybody
)

// operation is one route: what the router runs, and what is documented.
type operation struct {
	method, path string
	// id names the operation in generated clients.
	id, tag, summary string
	// text is the operation's description.
	text   string
	access access
	// unkeyed ignores an Idempotency-Key: the route is idempotent by itself, or
	// its answer is not to be kept.
	unkeyed bool
	params  []param
	// bodies are the media types that are read.
	bodies  []body
	answers []answer
	handle  func(*call) error
}

// param is a parameter in the query or a header. Those of the path are found in it.
type param struct {
	in, name, text string
	// kind is a JSON type.
	kind string
	// choice lists the values, where there are few.
	choice []string
	// most bounds a number, which counts from 1; 0 is no bound.
	most float64
	// length bounds a text in bytes, and pattern says what it looks like.
	length  int
	pattern string
}

// schema is that of a parameter.
func (p param) schema() *schema {
	s := &schema{Type: p.kind, Enum: p.choice, MaxLength: p.length, Pattern: p.pattern}
	if p.most > 0 {
		one := 1.0
		s.Minimum, s.Maximum = &one, &p.most
	}
	return s
}

// body is one media type of a request. Its schema is that of a Go value, or is
// given, for those that are no JSON.
type body struct {
	media    string
	value    any
	schema   *schema
	optional bool
}

// answer is a successful answer; every operation may also answer with a problem.
type answer struct {
	code  int
	text  string
	media []string
	value any
	// other is another value that it may be; nil for none.
	other   any
	headers []string
}

func get(path, id, tag, summary string, h func(*call) error, answers ...answer) operation {
	return operation{method: "GET", path: path, id: id, tag: tag, summary: summary, handle: h, answers: answers}
}

func post(path, id, tag, summary string, h func(*call) error, answers ...answer) operation {
	return operation{method: "POST", path: path, id: id, tag: tag, summary: summary, handle: h, answers: answers}
}

func (o operation) with(change func(*operation)) operation {
	change(&o)
	return o
}

func jsonBody(v any) func(*operation) {
	return func(o *operation) { o.bodies = []body{{media: mediaJSON, value: v}} }
}

func jsonAnswer(code int, text string, v any, headers ...string) answer {
	return answer{code: code, text: text, media: []string{mediaJSON}, value: v, headers: headers}
}

func noContent(text string, headers ...string) answer {
	return answer{code: 204, text: text, headers: headers}
}
