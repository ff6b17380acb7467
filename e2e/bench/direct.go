package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"apocryph/p2p/oci"
	"apocryph/provider/build"
)

const (
	// siteBytes is a site of siteFiles files, which no compression shrinks.
	siteBytes = 5 << 20
	siteFiles = 40
)

// site is the files of a site; another seed has other bytes in all of them.
func site(seed int) map[string][]byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	random := rand.NewChaCha8(key)
	out := map[string][]byte{"index.html": fmt.Appendf(nil, "<h1>site %d</h1>", seed)}
	for i := range siteFiles {
		b := make([]byte, siteBytes/siteFiles)
		_, _ = random.Read(b)
		out[fmt.Sprintf("asset-%d.bin", i)] = b
	}
	return out
}

// form is a deploy of a site as curl sends it.
func form(name string, files map[string][]byte) (media string, body []byte, err error) {
	var packed, all bytes.Buffer
	t := tar.NewWriter(&packed)
	for path, b := range files {
		if err := t.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(b))}); err != nil {
			return "", nil, err
		}
		if _, err := t.Write(b); err != nil {
			return "", nil, err
		}
	}
	if err := t.Close(); err != nil {
		return "", nil, err
	}
	w := multipart.NewWriter(&all)
	err = w.WriteField("manifest", fmt.Sprintf(`{"name":%q,"runtime":"static"}`, name))
	if err == nil {
		var part io.Writer
		if part, err = w.CreateFormFile("files", "site.tar"); err == nil {
			_, err = part.Write(packed.Bytes())
		}
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return "", nil, err
	}
	return w.FormDataContentType(), all.Bytes(), nil
}

// siteImage is the image that the provider makes of a site, by the same program,
// as an OCI layout.
func (b *bench) siteImage(ctx context.Context, files map[string][]byte) (_ string, err error) {
	dir, tree, bin := filepath.Join(b.dir, "site-image"), filepath.Join(b.dir, "site"), filepath.Join(b.dir, "site-server")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "./provider/build/static/apocryph-static")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if err := errors.Join(must(cmd), os.Mkdir(tree, 0o700)); err != nil {
		return "", err
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(tree, path), text, 0o600); err != nil {
			return "", err
		}
	}
	server, err := os.ReadFile(bin)
	if err != nil {
		return "", err
	}
	builder, err := build.New(build.Config{Dir: filepath.Join(b.dir, "site-build"), Server: server})
	if err != nil {
		return "", err
	}
	made, err := builder.Build(ctx, build.Request{
		Runtime: build.Static, FS: os.DirFS(tree), Platform: oci.Platform{OS: "linux", Architecture: runtime.GOARCH},
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	return dir, oci.WriteLayout(ctx, dir, oci.Tagged{Tag: "latest", Image: made.Image})
}

// direct deploys sites by POST /deploy, each with bytes that the provider has not
// seen, and a pod of such a site that is at the provider already by `publisher
// deploy`.
func (b *bench) direct(ctx context.Context) (err error) {
	img, err := b.siteImage(ctx, site(0))
	if err != nil {
		return err
	}
	g, err := b.ground(ctx, "direct")
	if err != nil {
		return err
	}
	d := &door{provider: g.p, b: b, client: &http.Client{}}
	defer func() { err = errors.Join(err, g.leave(ctx)) }()
	if d.token, err = d.newToken(ctx, "direct"); err != nil {
		return err
	}
	if _, err := g.deploy(ctx, keeper, img); err != nil {
		return err
	}
	var ours, taken, warm sample
	parts := steps{title: "POST /deploy of a site, step by step (medians)."}
	for i := range b.n + 1 {
		note("deploying a site, %d of %d and one to begin with", i, b.n)
		name := fmt.Sprintf("site-%d", i)
		b.settle(ctx)
		w, err := g.deploy(ctx, name, img)
		if err == nil {
			err = g.delete(ctx, name)
		}
		if err != nil {
			return err
		}
		b.settle(ctx)
		start := time.Now()
		answer, first, err := d.deploySite(ctx, name, i+1)
		if err != nil {
			return err
		}
		// The first brings the web server's layer to the provider, once and for all.
		if i > 0 {
			warm, taken, ours = append(warm, w.answer.Seconds()*1000), append(taken, answer.Seconds()*1000), append(ours, first.Seconds()*1000)
			states := d.states(name)
			delete(states, "deleting") // which is no part of a deploy
			for state, t := range states {
				parts.add("provider: "+state, float64(t.Sub(start))/1e6)
			}
			parts.add("the call is answered", answer.Seconds()*1000)
		}
	}
	b.table.add(row{measure: "POST /deploy of a new site of 5 MB to first 200", ours: ours, yardstick: "`publisher deploy` of such a pod, warm", theirs: warm, unit: "ms", most: 1.5})
	b.table.add(row{measure: "the same: to the answer of the call", ours: taken, yardstick: "-", unit: "ms"})
	parts.sort()
	b.table.steps = append(b.table.steps, parts)
	return nil
}

// deploySite deploys a site that is new and deletes it: how long until the call
// answers, and until the page comes through the ingress.
func (d *door) deploySite(ctx context.Context, name string, seed int) (answer, first time.Duration, err error) {
	media, body, err := form(name, site(seed))
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if _, err := d.send(ctx, http.MethodPost, "/deploy", media, bytes.NewReader(body), int64(len(body))); err != nil {
		return 0, 0, err
	}
	answer = time.Since(start)
	for {
		if err = ask(ctx, d.client, d.info.Ingress, name+"-default.localhost"); err == nil {
			break
		}
		if time.Since(start) > startTime {
			return 0, 0, err
		}
	}
	first = time.Since(start)
	var app object
	if err := d.call(ctx, http.MethodGet, "/api/v1/apps/default/"+name, nil, &app); err != nil {
		return 0, 0, err
	}
	return answer, first, d.call(ctx, http.MethodDelete, "/api/v1/apps/"+app.ID, nil, nil)
}
