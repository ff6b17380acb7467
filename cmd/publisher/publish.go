package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher/publisherd"
)

func newPublish(g *globals) *cobra.Command {
	var public, serve bool
	var platform, keyFile string
	cmd := &cobra.Command{
		Use: "publish IMAGE", Short: "Encrypt an image and put it on IPFS without deploying it", Args: cli.Args(cobra.ExactArgs(1)),
		Long: `Encrypt an image and put it on IPFS without deploying it; prints the CID of its
directory, which is an OCI layout and an ipdr tree at once. Nobody may read it
but whom a deploy grants it to; --public lets everybody. This node ends with the
command: --serve keeps it up until it is interrupted.`,
		Example: "  publisher publish oci:./image --public --serve\n  publisher publish docker-archive:app.tar --key-file app.pem",
	}
	f := cmd.Flags()
	f.BoolVar(&public, "public", false, "let everybody read the encrypted image")
	f.BoolVar(&serve, "serve", false, "serve until interrupted")
	f.StringVar(&platform, "platform", "linux/amd64", "platform of the image")
	f.StringVar(&keyFile, "key-file", "", "write the image's private key here (mode 0600)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return g.online(cmd.Context(), true, func(ctx context.Context, s *publisherd.Session) error {
			bars := cli.NewProgress(g.app.Stderr)
			img, err := s.Images.Seal(ctx, args[0], ".", platform, func(done, total int64) { bars.Bytes("encrypt", done, total) })
			bars.Close()
			if err != nil {
				return err
			}
			cid, err := s.Images.Publish(ctx, img)
			if err != nil {
				return err
			}
			if keyFile != "" {
				if err := writeKey(keyFile, img.Key); err != nil {
					return err
				}
			}
			if err := s.Images.Keep(ctx, cid); err != nil {
				return err
			}
			if public {
				// Whoever has this node's address needs no announcement.
				err := s.Images.MakePublic(ctx, cid)
				if ctx.Err() == nil && status.CodeOf(err) == status.Unavailable {
					fmt.Fprintf(g.app.Stderr, "warning: %s; it is found by this node's address only\n", err)
				} else if err != nil {
					return err
				}
			}
			if g.app.JSON {
				g.app.PrintJSON(map[string]any{
					"event": "result", "cid": cid, "image_id": img.Image.ImageID, "encrypted_digest": img.Image.EncryptedDigest,
					"key_id": img.Image.KeyID, "public": public, "addrs": s.Addrs(),
				})
			} else {
				fmt.Fprintln(g.app.Stdout, cid)
			}
			if !serve {
				return nil
			}
			for _, a := range s.Addrs() {
				fmt.Fprintf(g.app.Stderr, "serving on %s\n", a)
			}
			<-ctx.Done()
			return nil
		})
	}
	return cmd
}

// writeKey writes a private key as PEM, to a file that must not exist.
func writeKey(path string, pkcs8 []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return status.Wrap(err, status.InvalidArgument, "publish.key_file", "writing the key file")
	}
	if err := pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
