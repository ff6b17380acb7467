package builds

import (
	"context"
	"fmt"

	"apocryph/attest/provenance"
	"apocryph/attest/provenance/sbom"
	"apocryph/p2p/ipdr"
	"apocryph/provider"
)

// tenant is to whom the images of a namespace belong: the publisher of its pods.
func (j *job) tenant() provider.PublisherID {
	if id, ok := peerOf(j.ns); ok {
		return id
	}
	return provider.PublisherID("ns:" + j.ns)
}

// sealed seals an image with what there is to say of it.
func (q *Queue) sealed(ctx context.Context, j *job, said provenance.Build, made Made) (*Image, error) {
	list := make([]sbom.Package, 0, len(made.Packages))
	for _, p := range made.Packages {
		list = append(list, sbom.Package(p))
	}
	bill, err := sbom.Encode(said.ImageID, list)
	if err != nil {
		return nil, fmt.Errorf("listing what is in the image: %w", err)
	}
	if err := seal(q.dir(j.id), "sbom", j.key, bill); err != nil {
		return nil, err
	}
	said.SBOM = digestOf(bill)
	// Stored before anything is said, so that a crash leaves nothing said that is not found.
	q.saying.Lock()
	err = q.update(ctx, j, func(b *Build) error {
		b.ImageID, b.SBOM = said.ImageID, said.SBOM
		return nil
	})
	q.saying.Unlock()
	if err != nil {
		return nil, err
	}
	out := &Image{Build: j.id}
	about := []ipdr.Referrer{{Type: ipdr.TypeCycloneDX, Data: bill}}
	keep := func(envelope []byte) (string, error) {
		if envelope != nil {
			about = append(about, ipdr.Referrer{
				Type: ipdr.TypeInToto, Data: envelope, Annotations: map[string]string{"in-toto.io/predicate-type": provenance.PredicateType},
			})
		}
		var err error
		out.Image, out.Key, err = q.cfg.Importer.ImportReferred(ctx, made.Image, j.owner(), func(int64, int64) {}, about)
		if err != nil {
			return "", fmt.Errorf("sealing the image: %w", err)
		}
		if out.SBOMCID = about[0].CID; len(about) > 1 {
			out.ProvenanceCID = about[1].CID
		}
		return out.CID, nil
	}
	if q.cfg.Attestor == nil {
		_, err := keep(nil)
		return out, err
	}
	envelope, err := q.cfg.Attestor.Built(ctx, j.tenant(), said, keep)
	if err != nil {
		return nil, fmt.Errorf("signing the provenance: %w", err)
	}
	out.Provenance, err = provenance.Statement(envelope)
	return out, err
}

// unsay forgets what is said of the image of a build, unless another build of the
// namespace has made the same. Where a pod has it the error is a conflict.
func (q *Queue) unsay(ctx context.Context, j *job) error {
	image := j.get().ImageID
	if q.cfg.Attestor == nil || image == "" {
		return nil
	}
	q.saying.Lock()
	defer q.saying.Unlock()
	same := q.sorted(func(o *job) bool { return o != j && o.ns == j.ns && o.get().ImageID == image })
	if len(same) > 0 {
		return nil
	}
	return q.cfg.Attestor.DropBuilt(ctx, j.tenant(), image)
}
