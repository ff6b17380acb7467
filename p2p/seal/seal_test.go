package seal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"apocryph/p2p/oci"

	"github.com/containers/ocicrypt/config"
	"github.com/containers/ocicrypt/keywrap/jwe"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestSealAndOpen(t *testing.T) {
	f := newFixture(t)
	plain := [][]byte{text(1000, "first "), nil, text(chunk/4, "third"), text(chunk/8, "exactly8")}
	types := []string{oci.MediaTypeLayer, oci.MediaTypeLayerGzip, oci.MediaTypeLayerZstd, oci.MediaTypeLayer}
	var layers []oci.Layer
	for i := range plain {
		layers = append(layers, layer(types[i], plain[i]))
	}
	img := imageOf(layers...)
	s := f.seal(t, img)
	m := manifestOf(t, s)
	if m.SchemaVersion != 2 || m.MediaType != oci.MediaTypeManifest || m.Config.MediaType != oci.MediaTypeConfig {
		t.Errorf("manifest is %s", s.Manifest)
	}
	if diff := cmp.Diff(map[string]string{"kept": "yes"}, m.Annotations); diff != "" {
		t.Error(diff)
	}
	if s.Image.EncryptedDigest != digestOf(s.Manifest) || s.Image.ImageID != digestOf(img.Config) || m.Config.Digest.String() != s.Image.ImageID || !bytes.Equal(s.Config, img.Config) {
		t.Errorf("image is %+v, manifest %s", s.Image, s.Manifest)
	}
	if s.ReusedBytes != 0 || len(m.Layers) != len(plain) {
		t.Errorf("reused %d, %d layers", s.ReusedBytes, len(m.Layers))
	}
	for i, d := range m.Layers {
		if d.MediaType != types[i]+"+encrypted" || d.Digest.String() != s.Layers[i].Digest || d.Size != s.Layers[i].Size {
			t.Errorf("layer %d: %+v, blob %+v", i, d, s.Layers[i])
		}
		for _, key := range [][]byte{s.Key, pemOf(s.Key)} {
			got, err := open(t, key, d, blobOf(t, s.Layers[i]))
			if err != nil || !bytes.Equal(got, plain[i]) {
				t.Errorf("layer %d: %d bytes, error %v", i, len(got), err)
			}
		}
		if got := keysIn(d); !cmp.Equal(got, []string{annotationKey, annotationPubOpts}) {
			t.Errorf("annotations are %v", got)
		}
	}
	if left, err := os.ReadDir(f.tempDir()); err != nil || len(left) != 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

func keysIn(d ocispec.Descriptor) []string {
	var keys []string
	for _, k := range []string{annotationKey, annotationPubOpts} {
		if d.Annotations[k] != "" {
			keys = append(keys, k)
		}
	}
	if len(d.Annotations) != len(keys) {
		keys = append(keys, "others")
	}
	return keys
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestAlgorithms holds the wrapping to what the specification of the wire says.
func TestAlgorithms(t *testing.T) {
	f := newFixture(t)
	s := f.seal(t, imageOf(layer(oci.MediaTypeLayer, []byte("x"))))
	key, err := x509.ParsePKCS8PrivateKey(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		t.Fatalf("the key is %T", key)
	}
	spki, err := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if s.Image.KeyID != KeyID(spki) || len(s.Image.KeyID) != 32 {
		t.Errorf("key id is %s", s.Image.KeyID)
	}
	packet, err := base64.StdEncoding.DecodeString(manifestOf(t, s).Layers[0].Annotations[annotationKey])
	if err != nil {
		t.Fatal(err)
	}
	var outer struct {
		Protected string         `json:"protected"`
		Header    map[string]any `json:"header"`
	}
	if err := json.Unmarshal(packet, &outer); err != nil {
		t.Fatal(err)
	}
	protected, err := base64.RawURLEncoding.DecodeString(outer.Protected)
	if err != nil {
		t.Fatal(err)
	}
	header := string(protected) + fmt.Sprint(outer.Header)
	for _, want := range []string{"ECDH-ES+A256KW", "A256GCM", "P-256"} {
		if !strings.Contains(header, want) {
			t.Errorf("%s is not in %s", want, header)
		}
	}
	if strings.Contains(header, "RSA") {
		t.Errorf("RSA: %s", header)
	}
	inner, err := jwe.NewKeyWrapper().UnwrapKey(&config.DecryptConfig{Parameters: map[string][][]byte{"privkeys": {s.Key}, "privkeys-passwords": {nil}}}, packet)
	if err != nil || !strings.Contains(string(inner), `"digest":"`+digestOf([]byte("x"))) {
		t.Errorf("the plain digest is not wrapped with the key, error %v", err)
	}
}

func TestWrongKeyAndFlippedByte(t *testing.T) {
	f := newFixture(t)
	s := f.seal(t, imageOf(layer(oci.MediaTypeLayer, text(100_000, "x"))))
	d, blob := manifestOf(t, s).Layers[0], blobOf(t, s.Layers[0])
	other, err := newKey()
	must(t, err)
	if _, err := open(t, other.pkcs8, d, blob); err == nil {
		t.Error("another key opens it")
	}
	for _, at := range []int{0, len(blob) / 2, len(blob) - 1} {
		bad := bytes.Clone(blob)
		bad[at] ^= 1
		if _, err := open(t, s.Key, d, bad); err == nil {
			t.Errorf("byte %d flipped and nobody sees it", at)
		}
	}
	if _, err := open(t, s.Key, d, blob[:len(blob)-1]); err == nil {
		t.Error("cut and nobody sees it")
	}
}

// TestNoPlaintextInBlobs greps everything on disk for the layer and the keys.
func TestNoPlaintextInBlobs(t *testing.T) {
	f := newFixture(t)
	canary := []byte("CANARY-d41d8cd98f00b204")
	s := f.seal(t, imageOf(layer(oci.MediaTypeLayer, append(text(10_000, "x"), canary...))))
	var e entry
	for _, v := range f.cache.entries {
		must(t, json.Unmarshal(v, &e))
	}
	var private struct {
		SymKey []byte `json:"symkey"`
	}
	must(t, json.Unmarshal(e.Private, &private))
	if len(private.SymKey) != 32 {
		t.Fatalf("the layer key has %d bytes", len(private.SymKey))
	}
	needles := map[string][]byte{"plaintext": canary}
	for name, secret := range map[string][]byte{"layer key": private.SymKey, "revision key": s.Key, "end of revision key": s.Key[len(s.Key)-32:]} {
		needles[name] = secret
		needles[name+" base64"] = []byte(base64.StdEncoding.EncodeToString(secret))
	}
	grep := func(where string, data []byte) {
		for name, n := range needles {
			if bytes.Contains(data, n) {
				t.Errorf("%s is in %s", name, where)
			}
		}
	}
	grep("the manifest", s.Manifest)
	grep("the configuration", s.Config)
	files := 0
	must(t, filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		grep(path, data)
		return err
	}))
	if files != 1 {
		t.Errorf("%d files, want 1", files)
	}
}

func TestProgress(t *testing.T) {
	f := newFixture(t)
	a, b := layer(oci.MediaTypeLayer, text(chunk, "abc")), layer(oci.MediaTypeLayer, text(chunk, "defg"))
	for _, run := range []string{"fresh", "reused"} {
		var last, total int64
		_, err := f.Seal(t.Context(), imageOf(a, b, a), func(done, all int64) {
			if done < last || done > all {
				t.Errorf("%s: %d after %d of %d", run, done, last, all)
			}
			last, total = done, all
		})
		must(t, err)
		if want := a.Size + b.Size; last != want || total != want {
			t.Errorf("%s: ended at %d of %d, want %d", run, last, total, want)
		}
	}
}

// noted is an index that keeps what it read along.
type noted struct {
	bytes.Buffer
	f   *indexed
	err error
}

func (n *noted) Commit(_ context.Context, path, digest string) error {
	data, err := os.ReadFile(path)
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	if err != nil || !bytes.Equal(data, n.Bytes()) || digestOf(data) != digest {
		n.f.t.Errorf("%s: was told of %d bytes of %s, and it has %d (%v)", path, n.Len(), digest, len(data), err)
	}
	n.f.committed++
	return n.err
}

type indexed struct {
	t         *testing.T
	mu        sync.Mutex
	committed int
}

// TestIndex: a store is told of each blob that is written, byte by byte, and of
// none that is used again.
func TestIndex(t *testing.T) {
	f, seen := newFixture(t), &indexed{t: t}
	f.cfg.Index = func() Index { return &noted{f: seen} }
	a, b := layer(oci.MediaTypeLayer, text(3*chunk, "abc")), layer(oci.MediaTypeLayer, text(1, "defg"))
	for range 2 {
		f.seal(t, imageOf(a, b, a))
	}
	if seen.committed != 2 {
		t.Errorf("%d blobs were committed, want 2", seen.committed)
	}
	broken := errors.New("no room")
	f.cfg.Index = func() Index { return &noted{f: seen, err: broken} }
	if _, err := f.Seal(t.Context(), imageOf(layer(oci.MediaTypeLayer, text(2, "x"))), nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
