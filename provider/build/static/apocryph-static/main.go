// Apocryph-static serves a directory over HTTP; see apocryph/provider/build/static.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"apocryph/provider/build/static"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	fallback := os.Getenv("PORT")
	if fallback == "" {
		fallback = "8080"
	}
	dir := flag.String("dir", "/site", "the directory to serve")
	port := flag.String("port", fallback, "the TCP port to listen on; the default is PORT of the environment, or 8080")
	flag.Parse()
	if n, err := strconv.ParseUint(*port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port: got %q, want 1 to 65535", *port)
	}
	root, err := os.OpenRoot(*dir)
	if err != nil {
		return err
	}
	defer root.Close()
	l, err := net.Listen("tcp", ":"+*port)
	if err != nil {
		return err
	}
	return static.Serve(ctx, l, static.New(root), os.Stdout)
}
