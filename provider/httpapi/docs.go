package httpapi

import (
	"bytes"
	_ "embed"
	"html/template"
)

//go:embed docs.html
var docsPage string

// renderPage makes the page for people, out of the same document: without
// scripts, and without anything from elsewhere.
func renderPage(doc *openAPI) ([]byte, error) {
	t, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, doc)
	return b.Bytes(), err
}

func (c *call) docs() error {
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = c.w.Write(c.api.page) // the caller may be gone; nobody to tell
	return nil
}
