// Command app is the app that `make demo` and the tests deploy: a small
// HTTP server that says hello, and that a secret and a value of its
// environment reached it, without showing either.
package main

import (
	"crypto/sha256"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	addr := ":8080"
	if p := os.Getenv("PORT"); p != "" {
		addr = ":" + p
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		log.Printf("%s %s from %s", r.Method, r.URL.Path, r.Header.Get("X-Forwarded-For"))
		greeting := os.Getenv("GREETING")
		if greeting == "" {
			greeting = "hello"
		}
		host, err := os.Hostname()
		if err != nil {
			host = "somewhere"
		}
		fmt.Fprintf(w, "%s from %s\n", greeting, host)
	})
	// The digest shows that the right secret is there and tells nothing else.
	http.HandleFunc("GET /secret", func(w http.ResponseWriter, _ *http.Request) {
		b, err := os.ReadFile("/run/secrets/token")
		if err != nil {
			http.Error(w, "no secret", http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, "sha256:%x\n", sha256.Sum256(b))
	})
	// An app that takes its time to come up.
	if d, err := time.ParseDuration(os.Getenv("DELAY")); err == nil {
		time.Sleep(d)
	}
	log.Printf("listening on %s", addr)
	log.Fatal(http.ListenAndServe(addr, nil))
}
