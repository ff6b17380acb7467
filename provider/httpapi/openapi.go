package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// The OpenAPI 3.1 document, as far as it is used here.
type (
	openAPI struct {
		OpenAPI    string                           `json:"openapi"`
		Info       openInfo                         `json:"info"`
		Servers    []openServer                     `json:"servers"`
		Tags       []openTag                        `json:"tags"`
		Paths      map[string]map[string]*openRoute `json:"paths"`
		Components openComponents                   `json:"components"`
	}
	openInfo struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	}
	openServer struct {
		URL string `json:"url"`
	}
	openTag struct {
		Name string `json:"name"`
	}
	openRoute struct {
		OperationID string                 `json:"operationId"`
		Tags        []string               `json:"tags"`
		Summary     string                 `json:"summary"`
		Description string                 `json:"description,omitempty"`
		Parameters  []openParam            `json:"parameters,omitempty"`
		Body        *openBody              `json:"requestBody,omitempty"`
		Responses   map[string]*openAnswer `json:"responses"`
		Security    []map[string][]string  `json:"security"`
	}
	openParam struct {
		Name        string  `json:"name"`
		In          string  `json:"in"`
		Required    bool    `json:"required,omitempty"`
		Description string  `json:"description,omitempty"`
		Schema      *schema `json:"schema"`
	}
	openBody struct {
		Required bool                  `json:"required"`
		Content  map[string]*openMedia `json:"content"`
	}
	openMedia struct {
		Schema *schema `json:"schema,omitempty"`
	}
	openAnswer struct {
		Description string                 `json:"description"`
		Headers     map[string]*openHeader `json:"headers,omitempty"`
		Content     map[string]*openMedia  `json:"content,omitempty"`
	}
	openHeader struct {
		Schema *schema `json:"schema"`
	}
	openComponents struct {
		Schemas         map[string]*schema `json:"schemas"`
		SecuritySchemes map[string]any     `json:"securitySchemes"`
	}
)

const mediaProblem = "application/problem+json"

// problemDoc is what [problem.WriteExtended] writes here.
type problemDoc struct {
	Type         string         `json:"type"`
	Title        string         `json:"title"`
	Status       int            `json:"status"`
	Detail       string         `json:"detail,omitempty"`
	Instance     string         `json:"instance,omitempty"`
	Code         string         `json:"code"`
	Hint         string         `json:"hint,omitempty"`
	RetryAfter   int64          `json:"retry_after_s,omitempty"`
	Errors       []problemFault `json:"errors,omitempty"`
	Log          []string       `json:"log,omitempty"`
	RequestID    string         `json:"request_id"`
	DeploymentID string         `json:"deployment_id,omitempty"`
	Deployment   any            `json:"deployment,omitempty"`
	LogsTail     []string       `json:"logs_tail,omitempty"`
	// Results are of a list of slugs.
	Results []slugResult `json:"results,omitempty"`
}

type problemFault struct {
	Field string `json:"field"`
	Got   string `json:"got,omitempty"`
	Want  string `json:"want,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// openAPI generates the document from the routes.
func (a *API) openAPI() *openAPI {
	s := &schemas{named: map[string]*schema{}}
	doc := &openAPI{
		OpenAPI: "3.1.0",
		Info: openInfo{
			Title: "Apocryph provider", Version: a.cfg.Version,
			Description: "Deploys for those who trust this provider. Errors are problem documents (RFC 9457). A POST may carry an Idempotency-Key.",
		},
		Servers: []openServer{{URL: "/"}},
		Paths:   map[string]map[string]*openRoute{},
		Components: openComponents{SecuritySchemes: map[string]any{
			"bearer": map[string]string{"type": "http", "scheme": "bearer", "description": "A token of this provider or a JSON Web Token. Unix sockets need none."},
		}},
	}
	trouble := &openAnswer{Description: "A problem document (RFC 9457).", Content: map[string]*openMedia{mediaProblem: {Schema: s.of(problemDoc{})}}}
	seen := map[string]bool{}
	for i := range a.ops {
		op := &a.ops[i]
		if !seen[op.tag] {
			seen[op.tag] = true
			doc.Tags = append(doc.Tags, openTag{op.tag})
		}
		if doc.Paths[op.path] == nil {
			doc.Paths[op.path] = map[string]*openRoute{}
		}
		doc.Paths[op.path][strings.ToLower(op.method)] = s.route(op, trouble)
	}
	doc.Components.Schemas = s.named
	return doc
}

func (s *schemas) route(op *operation, trouble *openAnswer) *openRoute {
	r := &openRoute{
		OperationID: op.id, Tags: []string{op.tag}, Summary: op.summary, Description: op.text,
		Responses: map[string]*openAnswer{"default": trouble}, Security: []map[string][]string{{"bearer": {}}},
	}
	if op.access == everybody || op.access == readers {
		r.Security = []map[string][]string{}
	}
	for _, name := range pathNames(op.path) {
		r.Parameters = append(r.Parameters, openParam{Name: name, In: "path", Required: true, Schema: &schema{Type: "string"}})
	}
	for _, p := range op.params {
		r.Parameters = append(r.Parameters, openParam{Name: p.name, In: p.in, Description: p.text, Schema: p.schema()})
	}
	if op.method == http.MethodPost && !op.unkeyed {
		r.Parameters = append(r.Parameters, openParam{
			Name: "Idempotency-Key", In: "header", Schema: &schema{Type: "string"},
			Description: "A name of the caller's for this request: its repeat is answered with the first answer, for a day.",
		})
	}
	for _, b := range op.bodies {
		if r.Body == nil {
			r.Body = &openBody{Required: !b.optional, Content: map[string]*openMedia{}}
		}
		sch := b.schema
		if sch == nil {
			sch = s.of(b.value)
		}
		r.Body.Content[b.media] = &openMedia{Schema: sch}
	}
	for _, a := range op.answers {
		out := &openAnswer{Description: a.text}
		for _, m := range a.media {
			if out.Content == nil {
				out.Content = map[string]*openMedia{}
			}
			media := &openMedia{}
			if a.value != nil {
				media.Schema = s.of(a.value)
			}
			if a.other != nil {
				media.Schema = &schema{AnyOf: []*schema{media.Schema, s.of(a.other)}}
			}
			out.Content[m] = media
		}
		for _, h := range a.headers {
			if out.Headers == nil {
				out.Headers = map[string]*openHeader{}
			}
			out.Headers[h] = &openHeader{Schema: &schema{Type: "string"}}
		}
		r.Responses[strconv.Itoa(a.code)] = out
	}
	return r
}

// pathNames are the wildcards of a pattern.
func pathNames(pattern string) []string {
	var names []string
	for _, part := range strings.Split(pattern, "/") {
		if strings.HasPrefix(part, "{") {
			names = append(names, strings.Trim(part, "{}"))
		}
	}
	return names
}

func encodeDocument(doc *openAPI) ([]byte, error) {
	b, err := json.MarshalIndent(doc, "", " ")
	return append(b, '\n'), err
}

func (c *call) openAPIDocument() error {
	c.w.Header().Set("Content-Type", mediaJSON)
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = c.w.Write(c.api.document) // the caller may be gone; nobody to tell
	return nil
}
