package build

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// Roles lists what base images are for, sorted.
func Roles() []string { return []string{"dockerfile", "go", "node", "python"} }

// CatalogConfig of a [Catalog].
type CatalogConfig struct {
	// Images are references by role, see [Roles]: "oci:DIR[:TAG]" or "oci-archive:FILE" on this machine,
	// which the operator answers for; a registry reference with a digest; "ipfs:CID".
	Images map[string]string
	// Read reads an image; [oci.Read] with options.
	Read func(context.Context, oci.Reference, oci.Platform) (*oci.Image, error)
	// IPFS reads an image by its CID; nil has no IPFS.
	IPFS func(ctx context.Context, cid string, p oci.Platform) (*oci.Image, error)
}

// Catalog finds base images by a list of references.
type Catalog struct {
	cfg  CatalogConfig
	refs map[string]oci.Reference
}

const catalogHint = "make bases writes some from Debian's packages; or give a registry reference with its digest"

// NewCatalog checks the references; it reads nothing. A tag of a registry is
// refused: it may be another image tomorrow.
func NewCatalog(cfg CatalogConfig) (*Catalog, error) {
	c := &Catalog{cfg: cfg, refs: map[string]oci.Reference{}}
	var faults []status.Fault
	fault := func(role, got, want string) {
		faults = append(faults, status.Fault{Field: "bases." + role, Got: got, Want: want})
	}
	for role, text := range cfg.Images {
		if !slices.Contains(Roles(), role) {
			fault(fmt.Sprintf("%.40q", role), "an unknown role", "one of "+strings.Join(Roles(), ", "))
			continue
		}
		if cid, ok := strings.CutPrefix(text, "ipfs:"); ok {
			if cid == "" || cfg.IPFS == nil {
				fault(role, fmt.Sprintf("%.80q", text), "another source, for there is no IPFS here or no CID")
			}
			continue
		}
		ref, err := oci.ParseReference(text)
		if err != nil {
			fault(role, fmt.Sprintf("%.80q", text), "oci:DIR, oci-archive:FILE, ipfs:CID or a registry reference with its digest")
			continue
		}
		if ref.Transport == oci.Registry && !strings.Contains(ref.Name, "@sha256:") {
			fault(role, fmt.Sprintf("%.80q", text), "a reference with its digest: NAME@sha256:…")
			continue
		}
		c.refs[role] = ref
	}
	if len(faults) > 0 {
		return nil, status.Invalid("build.config", "bases", faults).WithHint(catalogHint)
	}
	return c, nil
}

// Base implements [Bases]. Its errors are unavailable "build.base": that there is no
// image is not the fault of who deploys. The URI never has a path of this machine.
func (c *Catalog) Base(ctx context.Context, role string, p oci.Platform) (Base, error) {
	text, ok := c.cfg.Images[role]
	if !ok {
		return Base{}, status.New(status.Unavailable, "build.base", "there is no base image for %s", role).WithHint(catalogHint)
	}
	var (
		img *oci.Image
		err error
	)
	cid, isIPFS := strings.CutPrefix(text, "ipfs:")
	if isIPFS {
		img, err = c.cfg.IPFS(ctx, cid, p)
	} else {
		img, err = c.cfg.Read(ctx, c.refs[role], p)
	}
	if ctx.Err() != nil {
		return Base{}, ctx.Err()
	}
	if err != nil {
		return Base{}, status.Wrap(err, status.Unavailable, "build.base", "the base image for %s cannot be had (%s)", role, status.ReasonOf(err)).WithHint(catalogHint)
	}
	id := img.Digest
	if id == "" {
		id = img.ID()
	}
	switch ref := c.refs[role]; {
	case isIPFS:
		return Base{Image: img, URI: text}, nil
	case ref.Transport == oci.Registry:
		return Base{Image: img, URI: ref.Name}, nil
	default:
		return Base{Image: img, URI: string(ref.Transport) + ":" + path.Base(ref.Path) + "@" + id}, nil
	}
}
