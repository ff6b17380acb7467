package manifest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

// maxFields bounds the fields of all messages in the canonical bytes. A field
// of two bytes can become a struct of hundreds, so a size limit alone would let
// a megabyte become a hundred. A manifest with every list full has fewer.
const maxFields = 64 << 10

// DigestOf is the digest of a manifest's canonical bytes.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// Marshal returns the canonical bytes of a manifest whose images are pinned:
// protobuf, fields in ascending order, no defaults, env and extended resources
// sorted by name. Image.Ref and Volume.Source are left out. The error is
// invalid_argument, manifest.invalid, or manifest.size.
func Marshal(m *Manifest) ([]byte, error) {
	c := m.sorted()
	if faults := c.wireFaults(); len(faults) > 0 {
		return nil, status.Invalid("manifest.invalid", "the manifest", faults)
	}
	b := appendCanonical(nil, c.toWire().ProtoReflect())
	if len(b) > MaxBytes {
		return nil, tooLarge(len(b))
	}
	return b, nil
}

// SourceDigest is the digest of the manifest as it was written, whether its
// images are pinned or not. It tells two versions of a file apart and is on no wire.
func (m *Manifest) SourceDigest() Digest {
	w := m.sorted().toWire()
	for i, c := range m.Containers {
		w.Containers[i].Image = &podpb.Image{Cid: c.Image.Ref}
	}
	return DigestOf(appendCanonical(nil, w.ProtoReflect()))
}

func tooLarge(n int) error {
	return status.New(status.InvalidArgument, "manifest.size", "the manifest has %d bytes, at most %d are allowed", n, MaxBytes)
}

// sorted returns a copy whose lists are in canonical order. m is not changed.
func (m *Manifest) sorted() *Manifest {
	c := *m
	c.Containers = slices.Clone(m.Containers)
	for i := range c.Containers {
		k := &c.Containers[i]
		k.Env = slices.Clone(k.Env)
		sortByName(k.Env, func(e EnvVar) string { return e.Name })
		k.Resources.Extended = slices.Clone(k.Resources.Extended)
		sortByName(k.Resources.Extended, func(e ExtendedResource) string { return e.Name })
	}
	return &c
}

// Unmarshal reads canonical bytes that a stranger sent. Unknown fields and
// bytes that [Marshal] would not have written are refused, and so is what does
// not pass [Manifest.Validate] or has an image that is not pinned. The error is
// invalid_argument: manifest.size, manifest.malformed, manifest.not_canonical
// or manifest.invalid with all faults.
func Unmarshal(b []byte) (*Manifest, error) {
	if len(b) > MaxBytes {
		return nil, tooLarge(len(b))
	}
	budget := maxFields
	if err := scan(b, (*podpb.Manifest)(nil).ProtoReflect().Descriptor(), &budget); err != nil {
		return nil, err
	}
	var w podpb.Manifest
	if err := proto.Unmarshal(b, &w); err != nil {
		return nil, malformed("the bytes are not a manifest")
	}
	m := fromWire(&w)
	if faults := m.wireFaults(); len(faults) > 0 {
		return nil, status.Invalid("manifest.invalid", "the manifest", faults)
	}
	if !bytes.Equal(appendCanonical(nil, m.toWire().ProtoReflect()), b) {
		return nil, notCanonical("the bytes are not in canonical form")
	}
	return m, nil
}

func malformed(text string) error {
	return status.New(status.InvalidArgument, "manifest.malformed", "%s", text)
}

func notCanonical(text string) error {
	return status.New(status.InvalidArgument, "manifest.not_canonical", "%s", text)
}

// scan walks the bytes of a message before anything is allocated for them. It
// refuses unknown and unordered fields and spends one of budget for each.
func scan(b []byte, desc protoreflect.MessageDescriptor, budget *int) error {
	last := protowire.Number(0)
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed("a field has no valid tag")
		}
		field := desc.Fields().ByNumber(num)
		if field == nil {
			return notCanonical(fmt.Sprintf("%s has an unknown field %d", desc.Name(), num))
		}
		if num < last {
			return notCanonical(fmt.Sprintf("%s has its fields out of order", desc.Name()))
		}
		last = num
		if *budget--; *budget < 0 {
			return malformed("there are more fields than any manifest needs")
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return malformed("a field has no valid value")
		}
		if field.Message() != nil && typ == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(b)
			if err := scan(inner, field.Message(), budget); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// wireFaults is Validate and what only holds on the wire: images are pinned.
func (m *Manifest) wireFaults() []status.Fault {
	v := validator{faults: m.Validate()}
	for i := range m.Containers[:min(len(m.Containers), MaxContainers)] {
		v.pinned(fmt.Sprintf("containers[%d].image", i), &m.Containers[i].Image)
	}
	return v.faults
}

func (v *validator) pinned(at string, image *Image) {
	if !isCID(image.CID) {
		v.addf(at+".cid", quoted(image.CID), "a CIDv1 in base32")
	}
	if !digestPattern.MatchString(image.EncryptedDigest) {
		v.addf(at+".encrypted_digest", quoted(image.EncryptedDigest), "sha256: and 64 hex digits")
	}
	if !digestPattern.MatchString(image.ImageID) {
		v.addf(at+".image_id", quoted(image.ImageID), "sha256: and 64 hex digits")
	}
	if image.KeyID != "" && (len(image.KeyID) > maxKeyID || !keyIDPattern.MatchString(image.KeyID)) {
		v.addf(at+".key_id", strconv.Quote(image.KeyID[:min(len(image.KeyID), maxKeyID)]), "at most %d letters, digits and . _ : + / = -", maxKeyID)
	}
}

// isCID reports whether s is a CIDv1 in base32, in the one form it has.
func isCID(s string) bool {
	if len(s) == 0 || len(s) > 128 || s[0] != 'b' {
		return false
	}
	c, err := cid.Decode(s)
	return err == nil && c.Version() == 1 && c.String() == s
}
