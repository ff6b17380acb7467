package main

import (
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

func newInit(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "init [DIR]", Short: "Write a commented sample manifest and its JSON Schema",
		Long: `Write a commented sample manifest, app.yaml, and its JSON Schema, with which
editors complete and check it. A manifest that exists is left alone.`,
		Example: "  publisher init\n  publisher init ./shop",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return status.Wrap(err, status.InvalidArgument, "init.dir", "making the directory")
			}
			path, schema := filepath.Join(dir, manifestFile), filepath.Join(dir, schemaFile)
			if err := writeNew(path, manifest.Sample(sampleName(dir)), 0o644); err != nil {
				return err
			}
			// The schema is ours, not the user's: a newer one replaces it.
			if err := os.WriteFile(schema, manifest.Schema(), 0o644); err != nil {
				return status.Wrap(err, status.InvalidArgument, "init.write", "writing the schema")
			}
			g.app.Result(struct {
				Manifest string `json:"manifest"`
				Schema   string `json:"schema"`
			}{path, schema})
			fmt.Fprintf(g.app.Stderr, "wrote %s and its schema; edit it, then: publisher deploy %s\n", cli.Clean(path), cli.Clean(path))
			return nil
		},
	}
}

// maxSampleName keeps a made-up name short, in bytes; it becomes part of a host name.
const maxSampleName = 20

// sampleName makes an app's name of a directory's.
func sampleName(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "app"
	}
	var name []byte
	for _, r := range filepath.Base(abs) {
		switch {
		case r >= 'A' && r <= 'Z':
			name = append(name, byte(r-'A'+'a'))
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9' && len(name) > 0:
			name = append(name, byte(r))
		}
	}
	if len(name) == 0 {
		return "app"
	}
	return string(name[:min(len(name), maxSampleName)])
}

func newValidate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "validate APP.YAML", Short: "Check a manifest: all faults at once, with their lines",
		Long: `Check a manifest: all faults at once, with their lines. The digest printed is that
of the manifest before its images are resolved; deploy prints the pinned one.`,
		Example:           "  publisher validate app.yaml",
		ValidArgsFunction: cli.YAMLFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			m, _, err := readManifest(args[0])
			if err != nil {
				return err
			}
			digest := m.SourceDigest().String()
			g.app.Result(struct {
				App            string `json:"app"`
				Containers     int    `json:"containers"`
				ManifestDigest string `json:"manifest_digest"`
			}{m.Name, len(m.Containers), digest})
			if !g.app.JSON {
				fmt.Fprintln(g.app.Stdout, digest)
			}
			return nil
		},
	}
}
