package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// coldDeploy deploys images that nobody has seen: encrypted, published,
// fetched, decrypted, unpacked and started within the time.
func (b *bench) coldDeploy(ctx context.Context) (err error) {
	g, err := b.ground(ctx, "cold")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.leave(ctx)) }()
	small, err := b.image(ctx, 0, 0)
	if err != nil {
		return err
	}
	if _, err := g.deploy(ctx, keeper, small); err != nil {
		return err
	}
	u, err := b.bundleOf(g.p, keeper)
	if err != nil {
		return err
	}
	var ours, plain sample
	parts := steps{title: fmt.Sprintf("Cold deploy of %d MiB, step by step (medians).", b.cold)}
	for i := range b.n {
		note("deploying cold, %d of %d", i+1, b.n)
		img, err := b.image(ctx, b.cold, i+1)
		if err != nil {
			return err
		}
		b.settle(ctx)
		t, err := u.copied(ctx, img)
		if err != nil {
			return err
		}
		plain = append(plain, t.Seconds()*1000)
		b.settle(ctx)
		name := fmt.Sprintf("cold-%d", i)
		d, err := g.deploy(ctx, name, img)
		if err != nil {
			return err
		}
		ours = append(ours, d.answer.Seconds()*1000)
		for _, m := range d.moments {
			parts.add(m.name, m.ms)
		}
		if err := errors.Join(g.delete(ctx, name), os.RemoveAll(img)); err != nil {
			return err
		}
	}
	b.table.add(row{
		measure: fmt.Sprintf("cold deploy of %d MiB, everything included", b.cold), ours: ours,
		yardstick: "tar over HTTP, unpack, runc run", theirs: plain, unit: "ms", most: 1.5,
	})
	parts.sort()
	b.table.steps = append(b.table.steps, parts)
	return nil
}

// copied is the yardstick: the layout travels as one tar over HTTP to a file,
// as `docker save` would send it, is unpacked and run.
func (u *bundle) copied(ctx context.Context, layout string) (time.Duration, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t := tar.NewWriter(w)
		if err := errors.Join(t.AddFS(os.DirFS(layout)), t.Close()); err != nil {
			panic(http.ErrAbortHandler)
		}
	})}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	copied := u.dir + "-copy"
	if err := errors.Join(os.RemoveAll(copied), os.Mkdir(copied, 0o700)); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := fetchTar(ctx, "http://"+l.Addr().String()+"/", copied); err != nil {
		return 0, err
	}
	layers, err := layersOf(copied)
	if err == nil {
		err = u.unpack(layers)
	}
	if err != nil {
		return 0, err
	}
	unpacked := time.Since(start)
	d, err := u.run(ctx)
	return unpacked + d, err
}

// fetchTar writes the files of a tar that is got from url into dir.
func fetchTar(ctx context.Context, url, dir string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buf := make([]byte, 1<<20)
	for t := tar.NewReader(resp.Body); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, t, buf)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}
