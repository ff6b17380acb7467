package builds

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"apocryph/attest/provenance"
	"apocryph/manifest/detect"
)

// The content types of what builds make.
const (
	// ExecutableType is an executable: a Go program's.
	ExecutableType = "application/x-executable"
	// ThinImageType is a tar of an OCI image layout without the layers of the base
	// image, which it names by digest. It is compressed with zstd, and its layers are
	// not: their digests are those of the image.
	ThinImageType = "application/vnd.apocryph.image.thin.v1+tar+zstd"
)

// keepMade seals an image, keeps what is for people, and ends the build.
func (q *Queue) keepMade(ctx context.Context, j *job, in input, plan detect.Plan, made Made) error {
	err := q.update(ctx, j, func(b *Build) error {
		if len(made.Argv) > 0 {
			b.Argv = made.Argv
		}
		b.Evidence = append(b.Evidence[:len(b.Evidence):len(b.Evidence)], made.Evidence...)
		b.Warnings = append(b.Warnings[:len(b.Warnings):len(b.Warnings)], made.Warnings...)
		return b.enter(stageSealing, q.cfg.Now().UTC())
	})
	if err != nil {
		return err
	}
	said, err := q.said(j, in, plan, made)
	if err != nil {
		return err
	}
	sealed, err := q.sealed(ctx, j, said, made)
	if err != nil {
		return err
	}
	artifact, err := q.artifact(ctx, j, made)
	if err != nil {
		return err
	}
	q.endLog(j)
	// The image first: who hears that the build has ended asks for it at once.
	j.mu.Lock()
	j.image = sealed
	j.mu.Unlock()
	// Who hears of the end may ask for the image at once.
	q.know(j)
	return q.update(ctx, j, func(b *Build) error {
		b.ArtifactID = artifact
		if sealed.Provenance != nil {
			b.Provenance = provenance.Digest(sealed.Provenance).String()
		}
		b.Sealed, b.ImageCID, b.ProvenanceCID, b.SBOMCID = sealed.EncryptedDigest, sealed.CID, sealed.ProvenanceCID, sealed.SBOMCID
		return b.enter(stageDone, said.Finished)
	})
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// said is what provenance says of a build.
func (q *Queue) said(j *job, in input, plan detect.Plan, made Made) (provenance.Build, error) {
	now := j.get()
	man, err := made.Image.Manifest()
	if err != nil {
		return provenance.Build{}, err
	}
	said := provenance.Build{
		ID: j.id, Source: in.source, Runtime: j.asked.Runtime, Entry: j.asked.Entry, Argv: now.Argv, Parameters: map[string]string{},
		ImageID: made.Image.ID(), Image: digestOf(man), Started: *now.Started, Finished: q.cfg.Now().UTC().Truncate(time.Second),
	}
	if said.Runtime == "" {
		said.Runtime = string(plan.Runtime)
	}
	if said.Finished.Before(said.Started) {
		said.Finished = said.Started
	}
	if in.source == nil {
		said.Upload = now.Source.Digest
	}
	for i, a := range j.asked.Args {
		said.Parameters[fmt.Sprintf("args[%d]", i)] = a
	}
	for i, f := range now.Features {
		said.Parameters[fmt.Sprintf("features[%d]", i)] = f
	}
	if j.asked.Port != 0 {
		said.Parameters["port"] = fmt.Sprint(j.asked.Port)
	}
	for _, m := range made.Materials {
		said.Materials = append(said.Materials, provenance.Material(m))
	}
	if made.Binary != "" {
		if said.Binary, err = fileDigest(made.Binary); err != nil {
			return provenance.Build{}, err
		}
	}
	return said, nil
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the executable: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("reading the executable: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// artifact keeps what is for people. Its id is stored before its bytes come, so that
// none is left by a crash.
func (q *Queue) artifact(ctx context.Context, j *job, made Made) (string, error) {
	kind, name := ThinImageType, "build-"+j.id[:8]+".oci.tar.zst"
	if made.Binary != "" {
		kind, name = ExecutableType, "build-"+j.id[:8]
	}
	a, err := q.cfg.Artifacts.Create(ctx, j.ns, name, kind, j.get().CreatedBy, map[string]string{"build": j.id})
	if err != nil {
		return "", fmt.Errorf("keeping the artifact: %w", err)
	}
	if err := q.update(ctx, j, func(b *Build) error { b.ArtifactID = a.ID; return nil }); err != nil {
		return "", err
	}
	if made.Binary != "" {
		f, err := os.Open(made.Binary)
		if err != nil {
			return "", fmt.Errorf("reading the executable: %w", err)
		}
		defer f.Close()
		_, err = q.cfg.Artifacts.Upload(ctx, j.ns, a.ID, f, nil)
		return a.ID, err
	}
	thin := made.Image
	if n := min(made.Base, len(thin.Layers)); n > 0 {
		c := *thin
		c.Layers = thin.Layers[n:]
		thin = &c
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(writeCompressed(ctx, w, made.Image, thin.Layers))
	}()
	_, err = q.cfg.Artifacts.Upload(ctx, j.ns, a.ID, r, nil)
	_ = r.Close()
	<-done
	return a.ID, err
}
