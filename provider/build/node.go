package build

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

const (
	modulesDir  = "node_modules"
	packageName = "package.json"
	lockName    = "package-lock.json"
	// registryEnv is npm's own variable: what an operator sets in Config.Env to use another registry.
	registryEnv = "NPM_CONFIG_REGISTRY"
)

// fetchScript downloads what a lock file names, with nothing but Node: an image with
// Node needs no package manager for it.
//
//go:embed fetch.cjs
var fetchScript string

// node makes the image of a Node program: a base, the dependencies, the tree.
func (b *Builder) node(ctx context.Context, req Request, res *Result) error {
	base, c, err := b.base(ctx, req, res, "node")
	if err != nil {
		return err
	}
	req.stage("dependencies", 10)
	deps, err := b.nodeDeps(ctx, req, res, base)
	if err != nil {
		return err
	}
	req.stage("assembling", 70)
	nodes, err := scan(req.FS, ".", unwanted)
	if err != nil {
		return err
	}
	app, err := appLayer(ctx, req, res, nodes)
	if err != nil {
		return err
	}
	env := map[string]string{"NODE_ENV": "production", "HOME": "/tmp"}
	if deps != nil || exists(req.FS, modulesDir) {
		env["PATH"] = commandsOf(c)
	}
	return runnable(req, res, base, c, env, nil, deps, app)
}

// commandsOf is a PATH with the commands of the dependencies before those of the base, as
// npm has it for what scripts name.
func commandsOf(base ocispec.Image) string {
	have := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range base.Config.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			have = v
		}
	}
	return "/" + path.Join(appDir, modulesDir, ".bin") + ":" + have
}

// nodeDeps makes the layer of dependencies; nil where there are none, or the tree has them.
func (b *Builder) nodeDeps(ctx context.Context, req Request, res *Result, base Base) (*oci.Layer, error) {
	lock, err := readAll(req.FS, lockName, maxLock)
	if err != nil {
		return nil, err
	}
	var packages []npmPackage
	if lock != nil {
		if packages, err = parseLock(lock, req.Platform); err != nil {
			return nil, err
		}
	}
	if info, err := fs.Stat(req.FS, modulesDir); err == nil && info.IsDir() {
		res.because("dependencies: the tree has %s", modulesDir)
		for _, p := range packages {
			// The files are the tree's own. Nobody compared them with the hash.
			if exists(req.FS, p.path) {
				res.holds(p)
			}
		}
		return nil, nil
	}
	if lock == nil {
		return nil, needsLock(req)
	}
	if len(packages) == 0 {
		return nil, nil
	}
	return b.npm(ctx, req, res, base, packages)
}

// needsLock refuses a tree whose dependencies may be others tomorrow.
func needsLock(req Request) error {
	text, err := readAll(req.FS, packageName, maxLock)
	if err != nil || text == nil {
		return err
	}
	var p struct {
		Dependencies map[string]json.RawMessage `json:"dependencies"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return status.Wrap(err, status.InvalidArgument, "build.lock", "%s is not valid JSON", packageName)
	}
	if len(p.Dependencies) == 0 {
		return nil
	}
	got := "none"
	for _, name := range []string{"yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"} {
		if exists(req.FS, name) {
			got = name
		}
	}
	return status.New(status.InvalidArgument, "build.lock", "%s has %d dependencies, and of lock files got %s, want %s", packageName, len(p.Dependencies), got, lockName).
		WithHint("an image must be the same tomorrow: commit what npm install --package-lock-only writes, or %s", modulesDir)
}

// npm downloads what the lock file names, and unpacks it after checking each
// file's hash.
func (b *Builder) npm(ctx context.Context, req Request, res *Result, base Base, packages []npmPackage) (_ *oci.Layer, err error) {
	res.because("dependencies: %d packages by the hashes in %s", len(packages), lockName)
	what := "what " + lockName + " names"
	if err := b.online(what); err != nil {
		return nil, err
	}
	type wanted struct {
		URL       string `json:"url"`
		Integrity string `json:"integrity"`
		File      string `json:"file"`
	}
	registry := slices.ContainsFunc(b.cfg.Env, func(e string) bool { return strings.HasPrefix(e, registryEnv+"=") })
	var list []wanted
	files := map[string]string{}
	for _, p := range packages {
		from := p.resolved
		if from == "" {
			if from = p.inRegistry(); !registry {
				return nil, status.New(status.InvalidArgument, "build.lock", "%s does not say where %s is, and this provider has no registry of its own", lockName, p.name).
					WithHint("write it again with npm install --package-lock-only --omit-lockfile-registry-resolved=false")
			}
		}
		if _, ok := files[p.integrity.text]; !ok {
			files[p.integrity.text] = strconv.Itoa(len(list)) + ".tgz"
			list = append(list, wanted{from, p.integrity.text, files[p.integrity.text]})
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encoding the list of packages: %w", err)
	}
	out, err := b.run(ctx, req, res, Job{
		Name: "npm packages", Image: base.Image, Argv: []string{"node", "-e", fetchScript},
		// Node has authorities of its own; those of the image are the operator's.
		Env: []string{"HOME=/tmp", "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"}, Source: oneFile{"wanted.json", text},
	})
	if err != nil {
		return nil, b.downloaded(err, what, npmSays)
	}
	defer out.close()
	s, err := newStaging(ctx, res)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, p := range packages {
		if err := p.unpack(out, files[p.integrity.text], s); err != nil {
			return nil, err
		}
		res.npm(p)
	}
	for _, p := range packages {
		if err := p.link(s); err != nil {
			return nil, err
		}
	}
	l, err := s.layer(res, "deps", path.Join(appDir, modulesDir))
	return &l, err
}

// npm notes a package, and the archive that it came in. A lock file may name two
// archives for one name and version.
func (r *Result) npm(p npmPackage) {
	r.holds(p)
	m := Material{Name: p.name + "@" + p.version, URI: purl("npm", p.name, p.version, p.resolved), Digest: p.integrity.digest()}
	if !slices.ContainsFunc(r.Materials, func(have Material) bool { return have.URI == m.URI && maps.Equal(have.Digest, m.Digest) }) {
		r.Materials = append(r.Materials, m)
	}
}

// holds notes a package.
func (r *Result) holds(p npmPackage) {
	name := purl("npm", p.name, p.version, "")
	if !slices.ContainsFunc(r.Packages, func(have Package) bool { return have.PURL == name }) {
		r.Packages = append(r.Packages, Package{Name: p.name, Version: p.version, PURL: name, License: p.license})
	}
}
