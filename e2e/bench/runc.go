package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bundle is what the yardstick of a deploy runs: the OCI bundle of a pod that
// the provider runs, with a root file system of its own. Everything else is as
// in the pod: seccomp profile, capabilities, limits, mounts, and the pod's own
// user and network namespaces, which `runc run` does not have to make.
type bundle struct {
	runc, dir, addr string
	uid, gid        int
}

// yardPort is where the app of the yardstick listens, beside the pod's own.
const yardPort = "9191"

// answerTime bounds the wait for an app's answer.
const answerTime = time.Minute

// bundleOf makes a bundle from the running pod of a name.
func (b *bench) bundleOf(p *provider, name string) (*bundle, error) {
	// Below the encrypted file system, where there is one.
	bins, err := filepath.Glob(filepath.Join(p.dir, "private/mnt/data/runtime/bin/runc-*"))
	if err == nil && len(bins) == 0 {
		bins, err = filepath.Glob(filepath.Join(p.dir, "runtime/bin/runc-*"))
	}
	if err != nil || len(bins) != 1 {
		return nil, fmt.Errorf("looking for the provider's runc: %v %w", bins, err)
	}
	// The directory has the end of the provider's identity for its name.
	addr := p.addr()
	run := strings.ToLower(addr[len(addr)-8:])
	configs, err := filepath.Glob("/run/apocryph/" + run + "/boot/state/io.containerd.runtime.v2.task/*/*/config.json")
	if err != nil {
		return nil, err
	}
	for _, path := range configs {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var spec map[string]any
		if err := json.Unmarshal(text, &spec); err != nil {
			return nil, err
		}
		if spec["hostname"] == name {
			return b.bundle(bins[0], spec)
		}
	}
	return nil, fmt.Errorf("the bundle of pod %q was not found", name)
}

func (b *bench) bundle(runc string, spec map[string]any) (*bundle, error) {
	out := &bundle{runc: runc, dir: filepath.Join(b.dir, "bundle")}
	linux, process := spec["linux"].(map[string]any), spec["process"].(map[string]any)
	first := func(key string) int {
		return int(linux[key].([]any)[0].(map[string]any)["hostID"].(float64))
	}
	out.uid, out.gid = first("uidMappings"), first("gidMappings")
	for _, ns := range linux["namespaces"].([]any) {
		if ns := ns.(map[string]any); ns["type"] == "network" {
			ip, err := addressIn(ns["path"].(string))
			if err != nil {
				return nil, err
			}
			out.addr = ip + ":" + yardPort
		}
	}
	linux["cgroupsPath"] = "/apocryph-bench-yardstick"
	process["env"] = append(process["env"].([]any), "PORT="+yardPort)
	spec["root"] = map[string]any{"path": "rootfs"}
	delete(spec, "annotations")
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out.dir, 0o711); err != nil {
		return nil, err
	}
	return out, os.WriteFile(filepath.Join(out.dir, "config.json"), text, 0o600)
}

// run runs the bundle until the app answers, and returns how long after the
// start of `runc run` that was.
func (u *bundle) run(ctx context.Context) (d time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	state := u.dir + "-state"
	start := time.Now()
	cmd := exec.CommandContext(ctx, u.runc, "--root", state, "run", "--bundle", u.dir, "yardstick")
	var text logBuffer
	cmd.Stderr = &text
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err = untilAnswer(ctx, "http://"+u.addr+"/")
	d = time.Since(start)
	if err != nil {
		err = fmt.Errorf("runc run: %w: %s", err, text.String())
	}
	rmErr := must(exec.CommandContext(context.WithoutCancel(ctx), u.runc, "--root", state, "delete", "--force", "yardstick"))
	_ = cmd.Wait() // it was killed
	return d, errors.Join(err, rmErr)
}

// untilAnswer asks every millisecond until the answer is 200.
func untilAnswer(ctx context.Context, url string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			err = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return err
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no answer from %s: %w", url, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// rootfs empties the bundle's root file system and gives it to the container's root.
func (u *bundle) rootfs() (string, error) {
	root := filepath.Join(u.dir, "rootfs")
	if err := os.RemoveAll(root); err != nil {
		return "", err
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		return "", err
	}
	return root, os.Chown(root, u.uid, u.gid)
}

// unpack unpacks the layers of a layout into the bundle's root file system.
func (u *bundle) unpack(layers []ociLayer) error {
	root, err := u.rootfs()
	for _, l := range layers {
		if err == nil {
			err = u.unpackLayer(root, l)
		}
	}
	return err
}

func (u *bundle) unpackLayer(root string, l ociLayer) error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := io.Reader(f)
	if l.gzip {
		if r, err = gzip.NewReader(f); err != nil {
			return err
		}
	}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		path := filepath.Join(root, filepath.Clean("/"+h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, h.FileInfo().Mode())
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{out}, t, make([]byte, 1<<20))
		if err := errors.Join(err, out.Chown(u.uid, u.gid), out.Close()); err != nil {
			return err
		}
	}
}

// ociLayer is a layer of an OCI layout.
type ociLayer struct {
	path string
	gzip bool
}

// layersOf reads which layers the one image of a layout has.
func layersOf(layout string) ([]ociLayer, error) {
	type descriptor struct{ MediaType, Digest string }
	blob := func(digest string) string {
		return filepath.Join(layout, "blobs", strings.Replace(digest, ":", "/", 1))
	}
	read := func(path string, into any) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, into)
	}
	var index struct{ Manifests []descriptor }
	if err := read(filepath.Join(layout, "index.json"), &index); err != nil {
		return nil, err
	}
	var manifest struct{ Layers []descriptor }
	if err := read(blob(index.Manifests[0].Digest), &manifest); err != nil {
		return nil, err
	}
	var out []ociLayer
	for _, l := range manifest.Layers {
		out = append(out, ociLayer{blob(l.Digest), strings.HasSuffix(l.MediaType, "+gzip")})
	}
	return out, nil
}
