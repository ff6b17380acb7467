package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// uploadPiece is what an upload repeats, in bytes: making random bytes would take
// the processors' time from what is measured.
const uploadPiece = 8 << 20

// endless is the content of an upload, without its end.
type endless struct {
	piece []byte
	at    int
}

func (c *endless) Read(p []byte) (int, error) {
	n := copy(p, c.piece[c.at:])
	c.at = (c.at + n) % len(c.piece)
	return n, nil
}

// uploads sends one large artifact to the provider, and the same bytes to nginx.
// This process sends both; each receiver is a process of its own.
func (b *bench) uploads(ctx context.Context) (err error) {
	web, err := b.nginx(ctx)
	if err != nil {
		return err
	}
	defer web.stop()
	d, err := b.openDoor(ctx, "upload")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.leave(ctx)) }()
	size := int64(b.large) << 20
	piece := make([]byte, uploadPiece)
	_, _ = rand.NewChaCha8([32]byte{}).Read(piece)
	body := func() io.Reader { return io.LimitReader(&endless{piece: piece}, size) }
	pid := d.cmd.Process.Pid
	var ours, synced, plain, grown, work sample
	for i := range b.n {
		note("uploading %d MiB, %d of %d", b.large, i+1, b.n)
		b.settle(ctx)
		t, s, err := web.put(ctx, body(), size)
		if err != nil {
			return err
		}
		plain, synced = append(plain, rate(size, t)), append(synced, rate(size, s))
		b.settle(ctx)
		if err := forgetPeak(pid); err != nil {
			return err
		}
		before, used, start := statusKB(pid, "VmHWM"), processorTime(pid), time.Now()
		id, err := d.artifact(ctx, fmt.Sprint("large-", i))
		if err == nil {
			err = d.upload(ctx, id, body(), size)
		}
		if err != nil {
			return err
		}
		took := time.Since(start)
		ours = append(ours, rate(size, took))
		work = append(work, (processorTime(pid)-used).Seconds()/took.Seconds())
		grown = append(grown, (statusKB(pid, "VmHWM")-before)*1024/1e6)
		// The disk may be too small for all of them.
		if err := d.call(ctx, http.MethodDelete, "/api/v1/artifacts/"+id, nil, nil); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("upload of an artifact of %d MiB", b.large)
	b.table.add(row{measure: name, ours: ours, yardstick: "nginx, PUT to disk, and fsync", theirs: synced, unit: "MB/s", least: 0.8})
	b.table.add(row{measure: "the same", ours: ours, yardstick: "nginx, PUT to disk, without fsync", theirs: plain, unit: "MB/s", least: 0.8})
	b.table.add(row{measure: "the same: provider, RSS from idle to peak", ours: grown, yardstick: "-", unit: "MB", most: 64})
	b.table.add(row{measure: "the same: processors that the provider keeps busy", ours: work, yardstick: "-"})
	return nil
}

func rate(size int64, t time.Duration) float64 { return float64(size) / 1e6 / t.Seconds() }

// webServer is the yardstick of uploads.
type webServer struct {
	cmd       *exec.Cmd
	dir, addr string
	client    *http.Client
}

// nginx starts the Debian package's nginx with the settings it has by itself, but
// for the size of a body. Its temporary files are on the file system of the root,
// so that a PUT ends with a rename.
func (b *bench) nginx(ctx context.Context) (*webServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &webServer{dir: filepath.Join(b.dir, "nginx"), addr: l.Addr().String(), client: &http.Client{Transport: &http.Transport{WriteBufferSize: 256 << 10}}}
	if err := errors.Join(l.Close(), os.MkdirAll(filepath.Join(s.dir, "root"), 0o700)); err != nil {
		return nil, err
	}
	config := filepath.Join(s.dir, "nginx.conf")
	err = os.WriteFile(config, fmt.Appendf(nil, `daemon off;
user root;
worker_processes auto;
pid %[1]s/pid;
error_log %[1]s/error.log;
events {}
http {
  access_log off;
  client_max_body_size 0;
  client_body_temp_path %[1]s/temp;
  server {
    listen %[2]s;
    root %[1]s/root;
    location / { dav_methods PUT; }
  }
}
`, s.dir, s.addr), 0o600)
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command("nginx", "-c", config, "-e", filepath.Join(s.dir, "error.log"))
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the yardstick: %w", err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for end := time.Now().Add(startTime); ; <-tick.C {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			return s, c.Close()
		}
		if ctx.Err() != nil || time.Now().After(end) {
			s.stop()
			return nil, fmt.Errorf("nginx does not serve: %w", err)
		}
	}
}

func (s *webServer) stop() {
	s.client.CloseIdleConnections()
	_ = s.cmd.Process.Signal(os.Interrupt)
	_ = s.cmd.Wait()
}

// put sends a file; it returns how long that took, and how long with the fsync
// that nginx never makes. The file is gone then.
func (s *webServer) put(ctx context.Context, body io.Reader, size int64) (took, synced time.Duration, err error) {
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+s.addr+"/large", body)
	if err != nil {
		return 0, 0, err
	}
	req.ContentLength = size
	if _, err := answered(s.client.Do(req)); err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	path := filepath.Join(s.dir, "root", "large")
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("nginx has %d bytes, want %d", info.Size(), size)
	}
	err = errors.Join(err, f.Sync())
	synced = time.Since(start)
	return took, synced, errors.Join(err, f.Close(), os.Remove(path))
}
