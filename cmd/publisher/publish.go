package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/publisher/publisherd"
)

type publishOptions struct {
	public, serve, plain bool
	platform, keyFile    string
}

func newPublish(g *globals) *cobra.Command {
	var o publishOptions
	cmd := &cobra.Command{
		Use: "publish IMAGE", Short: "Encrypt an image and put it on IPFS without deploying it",
		Long: `Encrypt an image and put it on IPFS without deploying it; prints the CID of its
directory, which is an OCI layout and an ipdr tree at once. Nobody may read it
but whom a deploy grants it to; --public lets everybody. This node ends with the
command: --serve keeps it up until it is interrupted.

With --plain the image is put there as it is, for what is no secret: a base image
that providers build on (provider serve --base python=ipfs:CID).

IMAGE is oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, ipfs:CID, or a
registry reference with the credentials of the docker configuration.`,
		Example: `  publisher publish oci:./image --public --serve
  publisher publish docker-archive:app.tar --key-file app.pem
  publisher publish oci:./bases/python --plain --public --serve`,
	}
	f := cmd.Flags()
	f.BoolVar(&o.public, "public", false, "let everybody read the encrypted image, and announce it")
	f.BoolVar(&o.plain, "plain", false, "do not encrypt the image, which then is everybody's: needs --public")
	f.BoolVar(&o.serve, "serve", false, "serve until interrupted")
	f.StringVar(&o.platform, "platform", "linux/amd64", "`OS/ARCHITECTURE` of the image")
	f.StringVar(&o.keyFile, "key-file", "", "write the image's private key to this `FILE`, which must not exist (mode 0600)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := os.Lstat(o.keyFile); o.keyFile != "" && err == nil {
			// Said before the work and not after it; writing decides.
			return status.New(status.Conflict, "file.exists", "%s exists already", o.keyFile).WithHint("name another file, or remove it first")
		}
		if o.plain && (!o.public || o.keyFile != "") {
			return cli.Usage(cmd, "--plain needs --public, and has no --key-file: what is not encrypted has no key")
		}
		return g.online(cmd.Context(), true, func(ctx context.Context, s *publisherd.Session) error {
			return g.publish(ctx, s, o, args[0])
		})
	}
	return cmd
}

func (g *globals) publish(ctx context.Context, s *publisherd.Session, o publishOptions, ref string) error {
	img, cid, err := g.seal(ctx, s, o, ref)
	if err != nil {
		return err
	}
	if err := s.Images.Keep(ctx, cid); err != nil {
		return err
	}
	warnings := []string{}
	if o.public {
		// Whoever has this node's address needs no announcement.
		err := s.Images.MakePublic(ctx, cid)
		if ctx.Err() == nil && status.CodeOf(err) == status.Unavailable {
			warnings = append(warnings, err.Error()+"; it is found by this node's address only")
		} else if err != nil {
			return err
		}
	}
	for _, w := range warnings {
		fmt.Fprintf(g.app.Stderr, "warning: %s\n", cli.Clean(w))
	}
	if !g.app.JSON {
		fmt.Fprintln(g.app.Stdout, cid)
	}
	g.app.ResultNow(struct {
		CID             string   `json:"cid"`
		ImageID         string   `json:"image_id"`
		EncryptedDigest string   `json:"encrypted_digest"`
		KeyID           string   `json:"key_id"`
		Public          bool     `json:"public"`
		Addrs           []string `json:"addrs"`
		Warnings        []string `json:"warnings"`
	}{cid, img.Image.ImageID, img.Image.EncryptedDigest, img.Image.KeyID, o.public, s.Addrs(), warnings})
	if !o.serve {
		return nil
	}
	for _, a := range s.Addrs() {
		fmt.Fprintf(g.app.Stderr, "serving on %s\n", a)
	}
	<-ctx.Done()
	return nil
}

// seal encrypts an image unless it is to stay plain, writes its key where that is
// asked for, and puts it on IPFS.
func (g *globals) seal(ctx context.Context, s *publisherd.Session, o publishOptions, ref string) (*manifest.Sealed, string, error) {
	bars := cli.NewProgress(g.app.Stderr)
	defer bars.Close()
	counted := func(name string) func(done, total int64) {
		return func(done, total int64) { bars.Bytes(name, done, total) }
	}
	if o.plain {
		return s.Images.PublishPlain(ctx, ref, o.platform, counted("publish"))
	}
	img, err := s.Images.Seal(ctx, ref, ".", o.platform, counted("encrypt"))
	if err != nil {
		return nil, "", err
	}
	if o.keyFile != "" {
		if len(img.Key) == 0 {
			return nil, "", errors.New("the image has no key to write")
		}
		var b bytes.Buffer
		if err := pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: img.Key}); err != nil {
			return nil, "", err
		}
		if err := writeNew(o.keyFile, b.Bytes(), 0o600); err != nil {
			return nil, "", err
		}
	}
	bars.End("encrypt")
	cid, err := s.Images.Publish(ctx, img, counted("publish"))
	return img, cid, err
}
