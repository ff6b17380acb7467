// Command hello answers everything with a greeting.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	err := http.ListenAndServe(":"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello from go")
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
