package httpapi_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"apocryph/provider/httpapi"
)

// contract holds every answer of these tests against the document that the API
// itself serves, with a validator that this project did not write.
type contract struct {
	t      *testing.T
	router routers.Router
}

func newContract(t *testing.T, api *httpapi.API) *contract {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/openapi.json", nil)
	req = req.WithContext(t.Context())
	w := httptest.NewRecorder()
	api.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		return &contract{t: t} // nobody reads the document over TCP here
	}
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{t, router}
}

// checked is a transport that checks answers.
type checked struct {
	next     http.RoundTripper
	contract *contract
}

func (c *checked) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err != nil || c.contract.router == nil {
		return resp, err
	}
	media := resp.Header.Get("Content-Type")
	if strings.HasPrefix(media, "text/event-stream") || req.Method == http.MethodOptions || req.Method == http.MethodHead {
		return resp, nil
	}
	if strings.HasPrefix(media, "text/plain") || strings.HasPrefix(media, "application/x-ndjson") {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	c.contract.check(req, resp, body)
	return resp, nil
}

func (c *contract) check(req *http.Request, resp *http.Response, body []byte) {
	c.t.Helper()
	plain := req.Clone(req.Context())
	plain.Body = nil
	plain.URL.Scheme, plain.URL.Host, plain.Host = "", "", ""
	route, params, err := c.router.FindRoute(plain)
	if err != nil {
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			c.t.Errorf("%s %s is not documented, and answers %d", req.Method, req.URL.Path, resp.StatusCode)
		}
		return
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	if _, isFile := route.Operation.Responses.Map()["206"]; isFile && resp.StatusCode < 400 {
		options.ExcludeResponseBody = true
	}
	if resp.StatusCode >= 500 && resp.StatusCode != http.StatusBadGateway && resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusInsufficientStorage {
		c.t.Logf("%s %s answers %d: %s", req.Method, req.URL.Path, resp.StatusCode, body)
	}
	err = openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: plain, Route: route, PathParams: params, Options: options},
		Status:                 resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(body)), Options: options,
	})
	if err != nil {
		c.t.Errorf("%s %s: the answer is not as documented: %v\n%d %s", req.Method, req.URL.Path, err, resp.StatusCode, body)
	}
}
