package ipdr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"apocryph/manifest"
	"apocryph/p2p/content"
	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// Image is an image whose layers are files that the store may serve from.
type Image struct {
	// Manifest and Config are kept verbatim.
	Manifest []byte
	// MediaType is the manifest's; empty means what the manifest says, or OCI's.
	MediaType string
	Config    []byte
	// Tag is a name besides "latest"; may be empty.
	Tag    string
	Layers []manifest.Blob
	// Referrers are documents about the image, in this order; their CIDs are set.
	Referrers []Referrer
	// Report is told how many bytes of all layers have been read; may be nil. What
	// the store knows already is not read.
	Report func(done, total int64)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Build adds the image and returns the root of its directory. The manifest must
// name exactly the configuration and the layers that are given, and every file
// must have its digest. Layers stay where they are, see [content.Store.AddFile].
// Pin the root within the hour.
func Build(ctx context.Context, s *content.Store, img Image) (cid.Cid, error) {
	m, err := checkImage(img)
	if err != nil {
		return cid.Undef, fmt.Errorf("building image: %w", err)
	}
	mediaType := img.MediaType
	if mediaType == "" {
		mediaType = m.MediaType
	}
	if mediaType == "" {
		mediaType = ociManifest
	}
	root, err := build(ctx, s, img, mediaType)
	if err != nil {
		return cid.Undef, fmt.Errorf("building image: %w", err)
	}
	return root, nil
}

// checkImage holds the manifest against the parts, all faults at once.
func checkImage(img Image) (imageManifest, error) {
	m, err := parseManifest(img.Manifest)
	if err != nil {
		return m, err
	}
	var faults []status.Fault
	fault := func(field string, got, want any) {
		faults = append(faults, status.Fault{Field: field, Got: fmt.Sprint(got), Want: fmt.Sprint(want)})
	}
	if d := digestOf(img.Config); d != m.Config.Digest || int64(len(img.Config)) != m.Config.Size {
		fault("config", fmt.Sprintf("%s of %d bytes", d, len(img.Config)), fmt.Sprintf("%s of %d bytes", m.Config.Digest, m.Config.Size))
	}
	if img.Tag != "" && !validTag(img.Tag) {
		fault("tag", fmt.Sprintf("%.140q", img.Tag), "at most 128 of letters, digits, '_', '.', '-'")
	}
	have := map[string]int64{}
	for _, l := range img.Layers {
		have[l.Digest] = l.Size
	}
	for i, l := range m.Layers {
		if size, ok := have[l.Digest]; !ok || size != l.Size {
			fault(fmt.Sprintf("layers[%d]", i), "no such file", fmt.Sprintf("%s of %d bytes", l.Digest, l.Size))
		}
	}
	checkReferrers(img.Referrers, fault)
	if len(faults) > 0 {
		return m, status.Invalid("image.parts", "image", faults)
	}
	return m, nil
}

func build(ctx context.Context, s *content.Store, img Image, mediaType string) (cid.Cid, error) {
	manifestNode, err := s.AddBytes(ctx, img.Manifest)
	if err != nil {
		return cid.Undef, err
	}
	configNode, err := s.AddBytes(ctx, img.Config)
	if err != nil {
		return cid.Undef, err
	}
	blobs := map[string]content.Node{configNode.Digest: configNode}
	var before, total int64
	for _, l := range img.Layers {
		total += l.Size
	}
	for _, l := range img.Layers {
		if _, ok := blobs[l.Digest]; ok {
			continue
		}
		n, err := s.AddFile(ctx, l.Path, func(done int64) {
			if img.Report != nil {
				img.Report(before+done, total)
			}
		})
		if err != nil {
			return cid.Undef, err
		}
		if n.Digest != l.Digest || n.Size != l.Size {
			return cid.Undef, status.New(status.InvalidArgument, "image.parts", "layer file hashes to %s with %d bytes, want %s with %d", n.Digest, n.Size, l.Digest, l.Size)
		}
		blobs[l.Digest] = n
		before += l.Size
	}
	layoutNode, err := s.AddBytes(ctx, []byte(layoutFile))
	if err != nil {
		return cid.Undef, err
	}
	desc := Descriptor{MediaType: mediaType, Digest: manifestNode.Digest, Size: manifestNode.Size}
	if img.Tag != "" {
		desc.Annotations = map[string]string{refAnnotation: img.Tag}
	}
	indexJSON, err := json.Marshal(index{SchemaVersion: 2, MediaType: ociIndex, Manifests: []Descriptor{desc}})
	if err != nil {
		return cid.Undef, err
	}
	indexNode, err := s.AddBytes(ctx, indexJSON)
	if err != nil {
		return cid.Undef, err
	}
	more, err := attach(ctx, s, Descriptor{MediaType: mediaType, Digest: manifestNode.Digest, Size: manifestNode.Size}, img.Referrers)
	if err != nil {
		return cid.Undef, err
	}
	return tree(ctx, s, img.Tag, manifestNode, blobs, more, layoutNode, indexNode)
}

// tree links the parts under both kinds of names.
func tree(ctx context.Context, s *content.Store, tag string, m content.Node, blobs map[string]content.Node, more *attached, layout, index content.Node) (cid.Cid, error) {
	manifests := []content.Entry{{Name: "latest", Node: m}, {Name: m.Digest, Node: m}}
	if tag != "" && tag != "latest" {
		manifests = append(manifests, content.Entry{Name: tag, Node: m})
	}
	hexOfManifest, _ := hexOf(m.Digest)
	sha := []content.Entry{{Name: hexOfManifest, Node: m}}
	if more != nil {
		maps.Copy(blobs, more.blobs)
		manifests = append(manifests, content.Entry{Name: more.tag, Node: more.index})
		for digest, n := range more.manifests {
			hex, _ := hexOf(digest)
			manifests = append(manifests, content.Entry{Name: digest, Node: n})
			sha = append(sha, content.Entry{Name: hex, Node: n})
		}
	}
	var flat []content.Entry
	for digest, n := range blobs {
		hex, _ := hexOf(digest)
		sha = append(sha, content.Entry{Name: hex, Node: n})
		flat = append(flat, content.Entry{Name: digest, Node: n})
	}
	shaDir, err := s.AddDirectory(ctx, sha)
	if err != nil {
		return cid.Undef, err
	}
	blobsDir, err := s.AddDirectory(ctx, append(flat, content.Entry{Name: "sha256", Node: shaDir}))
	if err != nil {
		return cid.Undef, err
	}
	manifestsDir, err := s.AddDirectory(ctx, manifests)
	if err != nil {
		return cid.Undef, err
	}
	root, err := s.AddDirectory(ctx, []content.Entry{
		{Name: "blobs", Node: blobsDir},
		{Name: "index.json", Node: index},
		{Name: "manifests", Node: manifestsDir},
		{Name: "oci-layout", Node: layout},
	})
	return root.CID, err
}
