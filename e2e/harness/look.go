package harness

import (
	"context"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// Pods asks the operator's socket for every pod.
func Pods(t *testing.T, p *Provider) []map[string]any {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", p.Info.APISocket)
	}}}
	resp, err := client.Get("http://provider/pods")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Pods []map[string]any `json:"pods"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Pods
}

// Blobs counts the files of ciphertext that a provider keeps.
func Blobs(t *testing.T, dir string) int {
	t.Helper()
	var n int
	err := filepath.WalkDir(filepath.Join(dir, "content", "blobs"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
