package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"apocryph/e2e/harness"
)

// kubo is a private node of stock kubo: on the loopback, and knowing nobody.
type kubo struct {
	t    *testing.T
	bin  string
	repo string
}

// newKubo builds kubo, which the build cache keeps, and starts a node.
func newKubo(t *testing.T, w *harness.World) *kubo {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "tool", "-n", "ipfs")
	build.Dir = "kubo"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOWORK=off")
	var complaints bytes.Buffer
	build.Stderr = &complaints
	bin, err := build.Output()
	if err != nil {
		t.Fatalf("building kubo: %v\n%s", err, complaints.String())
	}
	k := &kubo{t: t, bin: strings.TrimSpace(string(bin)), repo: w.Path("kubo")}
	k.must(time.Minute, "init", "--profile=test,autoconf-off")
	daemon := k.cmd(context.Background(), "daemon", "--routing=none")
	var log bytes.Buffer
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		deadline := time.NewTimer(time.Minute)
		defer deadline.Stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("kubo ended with %v:\n%s", err, log.String())
			}
		case <-deadline.C:
			_ = daemon.Process.Kill()
			<-ended
			t.Error("kubo did not stop")
		}
	})
	harness.Eventually(t, "kubo's API", func() bool {
		_, err := os.Stat(filepath.Join(k.repo, "api"))
		return err == nil
	})
	return k
}

func (k *kubo) cmd(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, k.bin, args...)
	cmd.Env = []string{"IPFS_PATH=" + k.repo, "HOME=" + k.repo, "PATH=" + os.Getenv("PATH"), "IPFS_TELEMETRY=off"}
	return cmd
}

func (k *kubo) run(limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(k.t.Context(), limit)
	defer cancel()
	out, err := k.cmd(ctx, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (k *kubo) must(limit time.Duration, args ...string) string {
	k.t.Helper()
	out, err := k.run(limit, args...)
	if err != nil {
		k.t.Fatalf("ipfs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// serving is `publisher publish --serve` while it runs.
type serving struct {
	CID             string   `json:"cid"`
	ImageID         string   `json:"image_id"`
	EncryptedDigest string   `json:"encrypted_digest"`
	Addrs           []string `json:"addrs"`
	// stop interrupts it and waits for its end.
	stop func()
}

// serve publishes an image and serves it until the test ends.
func serve(t *testing.T, pub *harness.Publisher, args ...string) serving {
	t.Helper()
	cmd := pub.Cmd(append([]string{"publish", "--serve", "--json"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		rest, _ := io.ReadAll(out)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 0 && code != 130 {
			t.Errorf("publish --serve ended with %d:\n%s%s", code, rest, log.String())
		}
	})
	t.Cleanup(stop)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e struct {
			Event string `json:"event"`
			serving
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("publish --json printed %q: %v", lines.Text(), err)
		}
		if e.Event == "result" {
			e.stop = stop
			return e.serving
		}
	}
	stop()
	t.Fatalf("publish --serve ended without a result (%v):\n%s", lines.Err(), log.String())
	return serving{}
}

// TestStockTools: what a publisher publishes is plain IPFS and a plain OCI image
// layout. Kubo fetches it by CID, the bytes are the publisher's, adding them
// again gives the same CID, and another OCI implementation reads the layout.
func TestStockTools(t *testing.T) {
	w := harness.New(t)
	k := newKubo(t, w)
	pub := w.Publisher("publisher")
	// Several blocks in a file, so that its DAG has a level more.
	image := "oci:" + w.Image(5<<20, 3)
	dir := w.Path("fetched")

	// What nobody was granted is given to nobody.
	private := serve(t, pub, image)
	k.must(time.Minute, "swarm", "connect", private.Addrs[0])
	if out, err := k.run(time.Minute, "get", "--timeout=3s", "-o", dir, private.CID); err == nil {
		t.Errorf("kubo fetched an image that is not public: %s", out)
	}
	private.stop()

	// The same layers, under a manifest of their own.
	it := serve(t, pub, image, "--public")
	k.must(time.Minute, "swarm", "connect", it.Addrs[0])
	k.must(2*time.Minute, "get", "--progress=false", "-o", dir, it.CID)

	all, files := sameBlobs(t, dir, filepath.Join(pub.Home, "content", "blobs", "sha256"))
	if all != 4 || files != 2 {
		t.Errorf("%d blobs are in the tree and %d of them files of the publisher, want 4 and the 2 layers", all, files)
	}
	again := k.must(time.Minute, "add", "-r", "-Q", "--only-hash", "--cid-version=1", "--raw-leaves", "--chunker=size-1048576", dir)
	if again != it.CID {
		t.Errorf("adding the fetched tree gives %s, and it was fetched as %s", again, it.CID)
	}
	readLayout(t, dir, it)
}

// sameBlobs compares the fetched tree with its names and, for those blobs that
// the publisher keeps as files, with these. It returns how many there are.
func sameBlobs(t *testing.T, dir, own string) (all, files int) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(e.Name(), "sha256:")
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != name {
			t.Errorf("%s holds the bytes of %x", path, sum)
		}
		mine, err := os.ReadFile(filepath.Join(own, name))
		if err == nil && !bytes.Equal(mine, b) {
			t.Errorf("%s differs from the publisher's file", path)
		}
		if !seen[name] && err == nil {
			files++
		}
		seen[name] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(seen), files
}

// readLayout lets go-containerregistry read and validate the layout. Its deep
// validation decompresses layers, which are ciphertext here; their digests are
// compared instead.
func readLayout(t *testing.T, dir string, it serving) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index, validate.Fast); err != nil {
		t.Error(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Manifests) != 1 || list.Manifests[0].Digest.String() != it.EncryptedDigest {
		t.Fatalf("the index names %v, want %s", list.Manifests, it.EncryptedDigest)
	}
	img, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := img.ConfigName(); err != nil || id.String() != it.ImageID {
		t.Errorf("the image's id is %v (%v), want %s", id, err, it.ImageID)
	}
	if _, err := img.ConfigFile(); err != nil {
		t.Error(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 2 {
		t.Errorf("the image has %d layers, want 2", len(m.Layers))
	}
	for _, d := range m.Layers {
		if err := sameLayer(img, d); err != nil {
			t.Errorf("layer %s: %v", d.Digest, err)
		}
	}
}

func sameLayer(img v1.Image, d v1.Descriptor) error {
	if !strings.HasSuffix(string(d.MediaType), "+encrypted") {
		return fmt.Errorf("its media type is %s", d.MediaType)
	}
	l, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return err
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != d.Digest.Hex || n != d.Size {
		return fmt.Errorf("%d bytes of sha256:%s, want %d", n, got, d.Size)
	}
	return nil
}
