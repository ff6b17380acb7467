package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"apocryph/attest/client"
	"apocryph/attest/policy"
)

// A program that sends something secret to an app checks first what runs there.
func Example() {
	p, err := policy.Parse([]byte(strings.TrimSpace(`
version: 1
trust: {levels: [sev-snp]}
freshness: {max_age: 10m}
reference:
  - name: release-1
    tee: sev-snp
    measurement: ["398ab61a7e8b68e74b61b9a1e3b5c2bf56747af8092597fe6704e705babe057930a34464719cbb04aba3249cda8aa738"]
    min_tcb: {bootloader: 4, tee: 0, snp: 22, microcode: 213}
`)))
	if err != nil {
		fmt.Println(err)
		return
	}
	transport := client.NewTransport(&client.Verifier{Policy: p}, client.TransportOptions{})
	defer transport.CloseIdleConnections()

	app := &http.Client{Transport: transport}
	_, err = app.Post("https://app.localhost:1/inbox", "text/plain", strings.NewReader("a secret"))

	var denied *client.DeniedError
	var revision *client.RevisionError
	switch {
	case errors.As(err, &denied): // there was evidence, and it is not good enough
		check, _ := denied.Report.Verdict.Failed()
		fmt.Println(check.Code, check.Name, check.Got, check.Want)
	case errors.As(err, &revision): // it was updated since it was verified
		fmt.Println("not any more:", revision.Expected)
	case err != nil: // nobody answered: nothing was sent
		fmt.Println("nothing was sent")
	}
	// Output: nothing was sent
}
