package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// endpoint is what a server of a yardstick says when it serves.
type endpoint struct {
	Addr  string
	Roots []string
}

// httpServe serves the files of a directory.
func httpServe(dir, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go func() { _ = srv.Serve(l) }()
	if err := say(endpoint{Addr: l.Addr().String()}); err != nil {
		return err
	}
	untilTold()
	return srv.Close()
}

// httpFetch gets files, one after the other over one connection, into dir. A
// file's name is the SHA-256 that its bytes must have. With durable each is
// synced, as ours are.
func httpFetch(ctx context.Context, addr, dir string, durable bool, names []string, begin func()) (int64, error) {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	resp, err := client.Head("http://" + addr + "/" + names[0])
	if err != nil {
		return 0, err
	}
	if err := resp.Body.Close(); err != nil {
		return 0, err
	}
	begin()
	var total int64
	for _, name := range names {
		n, err := httpGet(ctx, client, addr, dir, name, durable)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func httpGet(ctx context.Context, client *http.Client, addr, dir, name string, durable bool) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/"+name, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, resp.Body, make([]byte, 1<<20))
	if err != nil {
		return 0, err
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != name {
		return 0, fmt.Errorf("%s hashes to %s", name, got)
	}
	if !durable {
		return n, nil
	}
	return n, f.Sync()
}
