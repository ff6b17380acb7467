package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/proto/status"
)

const (
	serverName  = "apocryph-static"
	siteDir     = "site"
	indexName   = "index.html"
	defaultPort = 8080
)

// siteDirs is where site generators put what is to be served, in the order of asking.
var siteDirs = []string{".", "public", "dist"}

// static makes the image of a site: the server, and the files.
func (b *Builder) static(ctx context.Context, req Request, res *Result) error {
	if req.Platform.Architecture != b.cfg.Architecture {
		return status.New(status.InvalidArgument, "build.platform", "platform: got %s, want linux/%s for the runtime static", req.Platform, b.cfg.Architecture)
	}
	base, err := b.serverLayer(ctx)
	if err != nil {
		return err
	}
	dir, err := findSite(req, res)
	if err != nil {
		return err
	}
	hidden := 0
	nodes, err := scan(req.FS, dir, func(name string) bool {
		base := path.Base(name)
		skip := strings.HasPrefix(base, ".") && name != ".well-known"
		if skip {
			hidden++
		}
		return skip
	})
	if err != nil {
		return err
	}
	if len(regular(nodes)) == 0 {
		return status.New(status.InvalidArgument, "build.empty", "files: got none to serve in %.80q, want at least one", dir)
	}
	if hidden > 0 {
		res.warn("%d names that begin with a dot are left out: they are not served", hidden)
	}
	res.Port = req.Port
	if res.Port == 0 {
		res.Port = defaultPort
	}
	above, err := newLayer(ctx, res, "site")
	if err != nil {
		return err
	}
	site, err := above.finish(above.tree(req.FS, dir, siteDir, nodes, ""))
	if err != nil {
		return err
	}
	return assemble(req, res, ocispec.ImageConfig{
		Entrypoint: []string{"/" + serverName, "-dir", "/" + siteDir, "-port", strconv.Itoa(int(res.Port))},
		WorkingDir: "/" + siteDir, StopSignal: "SIGTERM",
	}, base, site)
}

// findSite chooses the directory to serve.
func findSite(req Request, res *Result) (string, error) {
	if req.Entry != "" {
		info, err := fs.Stat(req.FS, req.Entry)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("reading the uploaded files: %w", err)
		}
		if err != nil || !info.IsDir() {
			return "", status.New(status.InvalidArgument, "build.entry", "entry: got %.80q, want a directory of the upload", req.Entry)
		}
		res.because("serving %s: it is the entry", req.Entry)
		if !hasIndex(req.FS, req.Entry) {
			res.warn("%s has no %s: / answers 404", req.Entry, indexName)
		}
		return req.Entry, nil
	}
	for _, dir := range siteDirs {
		if hasIndex(req.FS, dir) {
			res.because("serving %s: it has %s", dir, indexName)
			return dir, nil
		}
	}
	res.because("serving .: none of %s has %s", strings.Join(siteDirs, ", "), indexName)
	res.warn("there is no %s: / answers 404", indexName)
	return ".", nil
}

func hasIndex(tree fs.FS, dir string) bool {
	info, err := fs.Stat(tree, path.Join(dir, indexName))
	return err == nil && info.Mode().IsRegular()
}
