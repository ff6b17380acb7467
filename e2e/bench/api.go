package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// door is a provider and somebody who calls its API over TCP with a token.
type door struct {
	*provider
	b      *bench
	token  string
	client *http.Client
	// moved are the bytes that the last deploy from source fetched.
	moved int64
}

// openDoor starts a provider and makes a token for it.
func (b *bench) openDoor(ctx context.Context, name string) (*door, error) {
	p, err := b.provider(ctx, name+"-provider", "--tee", "soft")
	if err != nil {
		return nil, err
	}
	d := &door{provider: p, b: b, client: &http.Client{Transport: &http.Transport{WriteBufferSize: 256 << 10}}}
	if d.token, err = d.newToken(ctx, name); err != nil {
		p.stop()
		return nil, err
	}
	return d, nil
}

// newToken is another caller's.
func (d *door) newToken(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.b.bin, "provider"), "token", "create", "--name", name, "--scope", "deploy:*", "--data-dir", d.dir)
	cmd.Env = d.b.env()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (d *door) url(path string) string { return "http://" + d.info.API + path }

// send makes one call and returns the answer's body. A code from 300 on is an error.
func (d *door) send(ctx context.Context, method, path, media string, body io.Reader, size int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.url(path), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+d.token)
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	return answered(d.client.Do(req))
}

func answered(res *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", res.Request.Method, res.Request.URL.Path, res.Status, out)
	}
	return out, err
}

// call sends a value as JSON, nil for nothing, and decodes the answer.
func (d *door) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	media := ""
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		media = "application/json"
	}
	got, err := d.send(ctx, method, path, media, bytes.NewReader(body), int64(len(body)))
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(got, out)
}

// object is what is read of the API's answers.
type object struct {
	ID, Status, URL string
	Error           any
}

func (d *door) artifact(ctx context.Context, name string) (id string, err error) {
	var a object
	err = d.call(ctx, http.MethodPost, "/api/v1/artifacts", map[string]string{"name": name}, &a)
	return a.ID, err
}

// upload brings an artifact's content.
func (d *door) upload(ctx context.Context, id string, body io.Reader, size int64) error {
	_, err := d.send(ctx, http.MethodPost, "/api/v1/artifacts/"+id+"/upload", "application/octet-stream", body, size)
	return err
}

// leave deletes all apps and stops the provider, also when the run was interrupted.
func (d *door) leave(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var all struct{ Data []object }
	errs := []error{d.call(ctx, http.MethodGet, "/api/v1/apps?page_size=100", nil, &all)}
	for _, a := range all.Data {
		errs = append(errs, d.call(ctx, http.MethodDelete, "/api/v1/apps/"+a.ID, nil, nil))
	}
	d.client.CloseIdleConnections()
	d.stop()
	return errors.Join(errs...)
}

// ask gets a page of an app by its host through an ingress.
func ask(ctx context.Context, client *http.Client, ingress, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ingress+"/", nil)
	if err != nil {
		return err
	}
	req.Host = host
	_, err = answered(client.Do(req))
	return err
}

// processorTime is what a process has used of the processors, user and system
// (proc(5), /proc/PID/stat, fields 14 and 15 in hundredths of a second).
func processorTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field may have spaces and ends with the last bracket.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
