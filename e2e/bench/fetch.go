package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// published is an image that a publisher has encrypted.
type published struct {
	home, image string
	names       []string // of the blobs
	blobs       string   // where they are
}

// publish encrypts an image of mb MiB into a home.
func (b *bench) publish(ctx context.Context, mb int) (*published, error) {
	img, err := b.image(ctx, mb, 0)
	if err != nil {
		return nil, err
	}
	p := &published{home: "fetch", image: img, blobs: filepath.Join(b.dir, "fetch/content/blobs/sha256")}
	if err := must(b.publisher(ctx, p.home, "publish", "oci:"+img)); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p.blobs)
	for _, e := range entries {
		p.names = append(p.names, e.Name())
	}
	return p, err
}

// ends are the servers of one measurement.
type ends struct {
	pub struct {
		Addrs           []string
		CID             string
		EncryptedDigest string `json:"encrypted_digest"`
	}
	http    endpoint
	servers []*server
}

func (e *ends) stop() {
	for _, s := range e.servers {
		s.stop()
	}
}

// serveBoth starts the publisher and the HTTP server on an address of ns.
func (b *bench) serveBoth(ctx context.Context, ns *namespace, ip string, p *published) (*ends, error) {
	e := &ends{}
	s, err := serve(ns, b.publisher(ctx, p.home, "--listen", "/ip4/"+ip+"/tcp/0", "publish", "oci:"+p.image, "--public", "--serve"), &e.pub)
	if err != nil {
		return nil, err
	}
	e.servers = append(e.servers, s)
	if s, err = serve(ns, b.role(ctx, "http-serve", p.blobs, ip+":0"), &e.http); err != nil {
		e.stop()
		return nil, err
	}
	e.servers = append(e.servers, s)
	return e, nil
}

// fetchOurs and fetchHTTP fetch once, into an empty directory.
func (b *bench) fetchOurs(ctx context.Context, ns *namespace, e *ends) (measured, error) {
	return b.into(ctx, func(dir string) (measured, error) {
		return b.once(ctx, ns, "content-fetch", e.pub.Addrs[0], e.pub.CID, e.pub.EncryptedDigest, dir)
	})
}

func (b *bench) fetchHTTP(ctx context.Context, ns *namespace, e *ends, p *published, role string) (measured, error) {
	return b.into(ctx, func(dir string) (measured, error) {
		return b.once(ctx, ns, append([]string{role, e.http.Addr, dir}, p.names...)...)
	})
}

func (b *bench) into(ctx context.Context, fetch func(dir string) (measured, error)) (m measured, err error) {
	dir, err := os.MkdirTemp(b.dir, "to")
	if err != nil {
		return m, err
	}
	b.settle(ctx)
	m, err = fetch(dir)
	return m, errors.Join(err, os.RemoveAll(dir))
}

func (b *bench) fetchLoopback(ctx context.Context) error {
	note("encrypting an image of %d MiB", b.big)
	p, err := b.publish(ctx, b.big)
	if err != nil {
		return err
	}
	e, err := b.serveBoth(ctx, nil, "127.0.0.1", p)
	if err != nil {
		return err
	}
	defer e.stop()
	var files []string
	for _, n := range p.names {
		files = append(files, filepath.Join(p.blobs, n))
	}
	var stock endpoint
	s, err := serve(nil, b.role(ctx, append([]string{"stock-serve", filepath.Join(b.dir, "stock"), "/ip4/127.0.0.1/tcp/0"}, files...)...), &stock)
	if err != nil {
		return err
	}
	defer s.stop()
	var ours, plain, durable, swap sample
	for i := range b.n {
		note("fetching over the loopback, %d of %d", i+1, b.n)
		for _, side := range []struct {
			to    *sample
			fetch func() (measured, error)
		}{
			{&plain, func() (measured, error) { return b.fetchHTTP(ctx, nil, e, p, "http-fetch") }},
			{&durable, func() (measured, error) { return b.fetchHTTP(ctx, nil, e, p, "http-fetch-durable") }},
			{&ours, func() (measured, error) { return b.fetchOurs(ctx, nil, e) }},
			{&swap, func() (measured, error) {
				return b.into(ctx, func(dir string) (measured, error) {
					return b.once(ctx, nil, append([]string{"stock-fetch", stock.Addr, dir}, stock.Roots...)...)
				})
			}},
		} {
			m, err := side.fetch()
			if err != nil {
				return err
			}
			*side.to = append(*side.to, m.rate())
		}
	}
	what := fmt.Sprintf("fetch of %d MiB, loopback", b.big)
	b.table.add(row{measure: what, ours: ours, yardstick: "HTTP GET + sha256, to a file", theirs: plain, unit: "MB/s", least: 0.6})
	b.table.add(row{measure: what, ours: ours, yardstick: "the same, file synced as ours is", theirs: durable, unit: "MB/s"})
	b.table.add(row{measure: what, ours: ours, yardstick: "bitswap, stock settings, synced", theirs: swap, unit: "MB/s", least: 3})
	return nil
}

// roundTrips are those of the links that are measured.
var roundTrips = []time.Duration{20 * time.Millisecond, 100 * time.Millisecond}

func (b *bench) fetchLinks(ctx context.Context) error {
	p, err := b.publish(ctx, b.big)
	if err != nil {
		return err
	}
	for _, rtt := range roundTrips {
		if err := b.fetchLink(ctx, p, rtt); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fetchLink(ctx context.Context, p *published, rtt time.Duration) error {
	l, err := newLink(rtt / 2)
	if err != nil {
		return err
	}
	defer l.close()
	e, err := b.serveBoth(ctx, l.near, nearIP, p)
	if err != nil {
		return err
	}
	defer e.stop()
	var ours, http sample
	for i := range b.n {
		note("fetching over %s, %d of %d", rtt, i+1, b.n)
		m, err := b.fetchHTTP(ctx, l.far, e, p, "http-fetch")
		if err != nil {
			return err
		}
		http = append(http, m.rate())
		if m, err = b.fetchOurs(ctx, l.far, e); err != nil {
			return err
		}
		ours = append(ours, m.rate())
	}
	b.table.add(row{
		measure: fmt.Sprintf("the same, round trip of %s", rtt), ours: ours,
		yardstick: "HTTP GET + sha256, one connection", theirs: http, unit: "MB/s", least: 1,
	})
	return l.err()
}
