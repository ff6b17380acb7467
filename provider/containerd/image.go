package containerd

import (
	"encoding/json"
	"runtime"
	"strconv"

	"github.com/containers/ocicrypt"
	encconfig "github.com/containers/ocicrypt/config"
	encspec "github.com/containers/ocicrypt/spec"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// maxLayers is what overlayfs takes in one mount; an image with more could
	// be unpacked and never started.
	maxLayers = 128
	// maxConfig bounds the image configuration, which the publisher writes.
	maxConfig = 1 << 20
	// maxAnnotation bounds the wrapped key of a layer before it is parsed.
	maxAnnotation = 64 << 10

	// The annotations of ocicrypt (spec.md of github.com/containers/ocicrypt)
	// that are honoured. Its other key wrappers (PGP, PKCS #7, external
	// programs) are never given a stranger's bytes.
	annotationJWE     = "org.opencontainers.image.enc.keys.jwe"
	annotationPubOpts = "org.opencontainers.image.enc.pubopts"
)

// layerTypes are the media types of layers that are taken.
var layerTypes = map[string]struct {
	encrypted  bool
	decompress decompressor
}{
	ocispec.MediaTypeImageLayer:                                   {false, plainTar},
	ocispec.MediaTypeImageLayerGzip:                               {false, gunzip},
	ocispec.MediaTypeImageLayerZstd:                               {false, unzstd},
	"application/vnd.docker.image.rootfs.diff.tar.gzip":           {false, gunzip},
	encspec.MediaTypeLayerEnc:                                     {true, plainTar},
	encspec.MediaTypeLayerGzipEnc:                                 {true, gunzip},
	encspec.MediaTypeLayerZstdEnc:                                 {true, unzstd},
	"application/vnd.docker.image.rootfs.diff.tar+encrypted":      {true, plainTar},
	"application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted": {true, gunzip},
}

// image is a [provider.Image] whose parts fit together.
type image struct {
	// id is the digest of the configuration.
	id     string
	config ocispec.ImageConfig
	layers []provider.Layer
	// diffIDs are the digests of the plain layers, chains those of the stacks
	// up to each (OCI image-spec, config.md, "Layer ChainID").
	diffIDs, chains []digest.Digest
	keys            *encconfig.DecryptConfig
}

// top is the key of the snapshot with all layers.
func (i *image) top() string { return i.chains[len(i.chains)-1].String() }

// openImage checks an image and that its key opens every encrypted layer. That
// check is not left to the unpacking: where the plain layers are here already
// nothing is unpacked, and the image would start without its key.
func openImage(c provider.ContainerSpec) (*image, error) {
	bad := func(field, got, want string) error {
		return status.Invalid("image.malformed", "the image of container "+strconv.Quote(c.Name),
			[]status.Fault{{Field: field, Got: got, Want: want}})
	}
	src := c.Image
	if src == nil {
		return nil, bad("image", "nothing", "an image")
	}
	if len(src.Config) > maxConfig {
		return nil, bad("config", strconv.Itoa(len(src.Config))+" bytes", "at most 1 MiB")
	}
	var cfg ocispec.Image
	if err := json.Unmarshal(src.Config, &cfg); err != nil {
		return nil, bad("config", "malformed JSON", "an OCI image configuration")
	}
	if cfg.OS != "linux" || cfg.Architecture != runtime.GOARCH {
		return nil, bad("platform", cfg.OS+"/"+cfg.Architecture, "linux/"+runtime.GOARCH)
	}
	n := len(src.Layers)
	if n == 0 || n > maxLayers {
		return nil, bad("layers", strconv.Itoa(n), "1 to "+strconv.Itoa(maxLayers))
	}
	if len(cfg.RootFS.DiffIDs) != n {
		return nil, bad("rootfs.diff_ids", strconv.Itoa(len(cfg.RootFS.DiffIDs)), "as many as layers, "+strconv.Itoa(n))
	}
	for i, d := range cfg.RootFS.DiffIDs {
		if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
			return nil, bad("rootfs.diff_ids["+strconv.Itoa(i)+"]", "no SHA-256 digest", "sha256:<hex>")
		}
	}
	img := &image{
		id:      digest.FromBytes(src.Config).String(),
		config:  cfg.Config,
		layers:  src.Layers,
		diffIDs: cfg.RootFS.DiffIDs,
	}
	if want := c.Container.Image.ImageID; want != "" && want != img.id {
		return nil, status.New(status.Untrusted, "image.id", "container %q: the image configuration is %s, not the %s of the manifest", c.Name, img.id, want)
	}
	for i := range img.diffIDs {
		img.chains = append(img.chains, identity.ChainID(img.diffIDs[:i+1]))
	}
	return img, img.unlock(c.Name, c.Key)
}

// unlock proves that key opens all that is encrypted.
func (i *image) unlock(container string, key []byte) error {
	encrypted := false
	for n, l := range i.layers {
		t, ok := layerTypes[l.MediaType]
		if !ok {
			return status.Invalid("image.malformed", "the image of container "+strconv.Quote(container), []status.Fault{
				{Field: "layers[" + strconv.Itoa(n) + "].mediaType", Got: strconv.Quote(l.MediaType), Want: "an OCI tar layer, plain or encrypted, uncompressed, gzip or zstd"},
			})
		}
		encrypted = encrypted || t.encrypted
	}
	switch {
	case !encrypted && key == nil:
		return nil
	case !encrypted:
		return status.New(status.Untrusted, "image.plain", "container %q has a key, but no layer of its image is encrypted", container)
	case key == nil:
		return status.New(status.Untrusted, "image.key", "container %q has an encrypted image and no key", container)
	}
	cc, err := encconfig.DecryptWithPrivKeys([][]byte{key}, [][]byte{nil})
	if err != nil {
		return status.New(status.Untrusted, "image.key", "container %q: the key is no PKCS #8 private key", container)
	}
	i.keys = cc.DecryptConfig
	for n, l := range i.layers {
		if !layerTypes[l.MediaType].encrypted {
			continue
		}
		if err := i.unwrap(l); err != nil {
			return status.Wrap(err, status.Untrusted, "image.key", "container %q: the key does not open layer %d of the image", container, n)
		}
	}
	return nil
}

func (i *image) unwrap(l provider.Layer) (err error) {
	defer sealPanic(&err)
	_, _, err = ocicrypt.DecryptLayer(i.keys, nil, encrypted(l), true)
	return err
}

// encrypted is the part of a layer's descriptor that ocicrypt gets to see.
func encrypted(l provider.Layer) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: l.MediaType, Digest: digest.Digest(l.Digest), Size: l.Size, Annotations: map[string]string{}}
	for _, k := range []string{annotationJWE, annotationPubOpts} {
		if v := l.Annotations[k]; v != "" && len(v) <= maxAnnotation {
			d.Annotations[k] = v
		}
	}
	return d
}
