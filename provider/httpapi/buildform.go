package httpapi

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"

	"apocryph/p2p/source"
	"apocryph/proto/status"
)

const (
	partMetadata = "metadata"
	partProject  = "project"
	// maxBuildBody bounds the whole body of a build, its frame as well, in bytes.
	maxBuildBody = 100 << 20
)

// metadata is the part of that name in the form of a build.
type metadata struct {
	// AppID is the app's, a UUID.
	AppID string `json:"app_id"`
	// DeploymentID is that of a deployment that waits for a build.
	DeploymentID string   `json:"deployment_id,omitempty"`
	Features     []string `json:"features,omitempty"`
	// Runtime and Entry are found out where they are absent.
	Runtime string   `json:"runtime,omitempty"`
	Entry   string   `json:"entry,omitempty"`
	Args    []string `json:"args,omitempty"`
	Port    uint16   `json:"port,omitempty"`
	// CommitSHA is what the caller says that the files are. Nobody looks.
	CommitSHA string `json:"commit_sha,omitempty"`
}

// buildForm is what a build was sent.
type buildForm struct {
	meta []byte
	tree *source.Tree
	sum  [sha256.Size]byte
}

func (f *buildForm) close() {
	if f.tree != nil {
		_ = f.tree.Close() // what stays behind is swept at the next start
	}
}

// readBuild reads the form of a build, in any order of its parts. They are told by
// their names alone: curl and other clients send the metadata with or without a
// file name and a type.
func (c *call) readBuild() (_ *buildForm, err error) {
	media, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch {
	case err != nil || media != "multipart/form-data":
		return nil, wrongMedia(c.r.Header.Get("Content-Type"), "multipart/form-data")
	case params["boundary"] == "":
		return nil, wrongMedia(c.r.Header.Get("Content-Type"), "multipart/form-data with a boundary, as curl -F writes it")
	}
	in, leave, err := c.upload(maxBuildBody)
	if err != nil {
		return nil, err
	}
	defer leave()
	f := &buildForm{}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	body, err := intactBody(c.r.Header, in)
	if err != nil {
		return nil, err
	}
	if err = f.read(c, multipart.NewReader(body, params["boundary"])); err == nil {
		err = body.check()
	}
	if err == nil {
		// What comes after the last boundary is of the body as well.
		_, err = io.Copy(io.Discard, in)
	}
	if err != nil {
		return nil, in.blame(err)
	}
	return f, nil
}

func (f *buildForm) read(c *call, r *multipart.Reader) error {
	total := newPartsSum(c.attempt != nil)
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return malformed(err)
		}
		if err := total.part(part, func(r io.Reader) error { return f.part(c, part, r) }); err != nil {
			return err
		}
	}
	f.sum = total.sum()
	var faults []status.Fault
	if f.meta == nil {
		faults = append(faults, status.Fault{Field: partMetadata, Got: "no such part", Want: `a JSON text with app_id`})
	}
	if f.tree == nil {
		faults = append(faults, status.Fault{Field: partProject, Got: "no such part", Want: "an archive of the project"})
	}
	if len(faults) > 0 {
		return status.Invalid("build.form", "the form", faults).
			WithHint(`curl -F 'metadata={"app_id":"…"}' -F project=@project.tar.gz URL/api/v1/builds`)
	}
	return nil
}

// part reads one; each is there once, so that there is no third.
func (f *buildForm) part(c *call, part *multipart.Part, r io.Reader) error {
	again := func(name string) error {
		return status.Invalid("build.form", "the form", []status.Fault{{Field: brief(name), Got: "a second one", Want: "one part"}})
	}
	switch name := part.FormName(); name {
	case partMetadata:
		if f.meta != nil {
			return again(name)
		}
		b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
		if err != nil {
			return malformed(err)
		}
		if len(b) > maxManifest {
			return status.Invalid("build.form", "the form", []status.Fault{{Field: name, Got: "more", Want: fmt.Sprintf("at most %d bytes", maxManifest)}})
		}
		f.meta = append([]byte{}, b...)
		return nil
	case partProject:
		if f.tree != nil {
			return again(name)
		}
		tree, err := source.NewTree(c.api.cfg.Staging, c.api.limits.Files)
		if err != nil {
			return err
		}
		f.tree = tree
		file := part.FileName()
		if file == "" {
			file = partProject
		}
		_, err = tree.Add(c.ctx(), file, r)
		return err
	default:
		return status.Invalid("build.form", "the form", []status.Fault{{Field: brief(name), Got: "a part of that name", Want: "metadata and project"}})
	}
}

func buildFormSchema() *schema {
	return &schema{
		Type: "object", Required: []string{partMetadata, partProject}, Additional: false,
		Properties: map[string]*schema{
			partMetadata: {Type: "string", Description: "A JSON text: app_id, and optionally deployment_id, features, runtime, entry, args, port and commit_sha."},
			partProject:  {Type: "string", Format: "binary", Description: "The project: tar, tar.gz, tar.zst or zip, told by content."},
		},
	}
}
