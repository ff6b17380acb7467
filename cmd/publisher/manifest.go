package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/manifest"
	"apocryph/proto/status"
)

const (
	manifestFile = "app.yaml"
	schemaFile   = "apocryph.schema.json"
)

// readManifest reads a manifest file; the directory is where its paths start.
func readManifest(path string) (m *manifest.Manifest, dir string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, "", status.Wrap(err, status.InvalidArgument, "manifest.read", "reading the manifest").
			WithHint("`publisher init` writes a sample")
	}
	if m, err = manifest.ParseFile(b); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return m, filepath.Dir(path), nil
}

func newInit(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "init [DIR]", Short: "Write a commented sample manifest and its JSON Schema", Args: cli.Args(cobra.MaximumNArgs(1)),
		Example: "  publisher init\n  publisher init ./shop",
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return status.Wrap(err, status.InvalidArgument, "init.dir", "making the directory")
			}
			path := filepath.Join(dir, manifestFile)
			if err := writeNew(path, manifest.Sample(sampleName(dir))); err != nil {
				return err
			}
			// The schema is ours, not the user's: a newer one replaces it.
			if err := os.WriteFile(filepath.Join(dir, schemaFile), manifest.Schema(), 0o644); err != nil {
				return status.Wrap(err, status.InvalidArgument, "init.write", "writing the schema")
			}
			if g.app.JSON {
				g.app.PrintJSON(map[string]string{"event": "result", "manifest": path})
				return nil
			}
			fmt.Fprintf(g.app.Stderr, "wrote %s; edit it, then: publisher deploy %s\n", path, path)
			return nil
		},
	}
}

// sampleName makes an app's name of a directory's.
func sampleName(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "app"
	}
	var name []rune
	for _, r := range filepath.Base(abs) {
		switch {
		case r >= 'A' && r <= 'Z':
			name = append(name, r-'A'+'a')
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9' && len(name) > 0:
			name = append(name, r)
		}
	}
	if len(name) == 0 {
		return "app"
	}
	return string(name[:min(len(name), 20)])
}

// writeNew writes a file that must not exist.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return status.New(status.Conflict, "file.exists", "%s exists already", path).WithHint("name another file, or remove it first")
	}
	if err != nil {
		return status.Wrap(err, status.InvalidArgument, "file.write", "writing %s", path)
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func newValidate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "validate APP.YAML", Short: "Check a manifest: all faults at once, with their lines", Args: cli.Args(cobra.ExactArgs(1)),
		Long: `Check a manifest: all faults at once, with their lines. The digest printed is that
of the manifest before its images are resolved; deploy prints the pinned one.`,
		Example: "  publisher validate app.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			m, _, err := readManifest(args[0])
			if err != nil {
				return err
			}
			digest := m.SourceDigest()
			if g.app.JSON {
				g.app.PrintJSON(map[string]any{"event": "result", "app": m.Name, "manifest_digest": digest.String(), "containers": len(m.Containers)})
				return nil
			}
			fmt.Fprintln(g.app.Stdout, digest)
			return nil
		},
	}
}
