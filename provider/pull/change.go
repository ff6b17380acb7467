package pull

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"apocryph/attest/commit"
	"apocryph/manifest/direct"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
)

const (
	// maxManifests bounds the apps of one namespace's repository.
	maxManifests = 64
	// maxFaults is what a peer may send, see status.FromPeer.
	maxFaults = 64
)

// change is what one commit makes of a namespace.
type change struct {
	state    state
	want     git.Want
	resolved git.Resolved
	ref, by  string
	signer   *commit.Signer
	wanted   []wanted
	warnings []string
}

// wanted is one app as its manifest has it.
type wanted struct {
	file string
	m    *direct.Manifest
	// dir has the app's files, as a path in the repository; empty where it runs a
	// referenced image.
	dir string
	// fingerprint covers the manifest and the files.
	fingerprint string
}

func (w wanted) key() string { return w.m.Name + "/" + w.m.Environment }

// source is what a deployment says of where it came from.
func (c *change) source() deploy.Source {
	r := c.resolved
	s := deploy.Source{
		Type: "git", Repository: r.Repository, Ref: c.ref, Branch: r.Branch, Path: c.state.Path, Commit: r.Commit.ID, Tree: r.Commit.Tree,
		AuthorName: r.Commit.Author.Name, AuthorEmail: r.Commit.Author.Email,
	}
	if c.signer != nil {
		s.Signer = c.signer.Key
	}
	return s
}

// collect reads all manifests of a tree; all faults of all files are told at once.
func (c *change) collect(tree fs.FS) error {
	var faults []status.Fault
	owners := map[string]string{}
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(e.Name(), "."):
			// .github and its like configure other programs.
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path.Ext(name) != ".yaml" || e.IsDir():
			return nil
		case len(c.wanted) == maxManifests:
			return status.New(status.InvalidArgument, "sync.manifests", "more than %d manifests", maxManifests)
		}
		w, err := c.one(tree, name)
		var bad *status.Error
		if errors.As(err, &bad) && bad.Code == status.InvalidArgument {
			faults = append(faults, placed(name, bad)...)
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if other := owners[w.key()]; other != "" {
			faults = append(faults, status.Fault{Field: name, Got: "app " + w.m.Name + " in " + w.m.Environment + ", as in " + other, Want: "one file for each"})
		}
		owners[w.key()] = name
		c.wanted = append(c.wanted, w)
		for _, text := range w.m.Warnings {
			c.warnings = append(c.warnings, name+": "+text)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(faults) > 0:
		return status.Invalid("sync.manifests", "commit "+short(c.resolved.Commit.ID)+", of which nothing was applied,", faults[:min(len(faults), maxFaults)])
	case len(c.wanted) == 0:
		// An empty directory would remove everything: more likely it is a mistake.
		return status.New(status.InvalidArgument, "sync.no_manifests", "commit %s has no *.yaml below %q", short(c.resolved.Commit.ID), "/"+c.state.Path).
			WithHint("set git_path to where the manifests are; to remove all apps, delete them")
	}
	slices.SortFunc(c.wanted, func(a, b wanted) int { return strings.Compare(a.key(), b.key()) })
	return nil
}

// placed is the faults of one file.
func placed(name string, bad *status.Error) []status.Fault {
	if len(bad.Faults) == 0 {
		return []status.Fault{{Field: name, Got: bad.Detail, Want: "a manifest"}}
	}
	var out []status.Fault
	for _, f := range bad.Faults {
		f.Field = name + " " + f.Field
		out = append(out, f)
	}
	return out
}

// one reads one manifest, and takes the fingerprint of its app.
func (c *change) one(tree fs.FS, name string) (wanted, error) {
	raw, err := readFile(tree, name)
	if err != nil {
		return wanted{}, err
	}
	m, err := direct.ParseYAML(raw, direct.Defaults{Namespace: c.state.Namespace})
	if err != nil {
		return wanted{}, err
	}
	var faults []status.Fault
	if m.Namespace != c.state.Namespace {
		faults = append(faults, status.Fault{Field: "/namespace", Got: m.Namespace, Want: c.state.Namespace + ", which has this repository; or none"})
	}
	if m.Image != "" && c.state.GitOnly && !strings.Contains(m.Image, "@sha256:") && !strings.HasPrefix(m.Image, "ipfs:") {
		faults = append(faults, status.Fault{Field: "/image", Got: m.Image, Want: "a reference with a digest: a tag is not what is in git"})
	}
	w := wanted{file: name, m: m}
	hash := sha256.New()
	if c.state.GitOnly {
		// What was deployed before may have had variables of the app's.
		fmt.Fprintln(hash, "git only")
	}
	if m.Image == "" {
		dir := path.Join(path.Dir(name), m.Directory)
		below, err := git.Sub(tree, dir)
		if err != nil {
			return wanted{}, err
		}
		id, err := commit.Tree(below)
		if err != nil {
			return wanted{}, err
		}
		fmt.Fprintln(hash, id)
		w.dir = path.Join(c.state.Path, dir)
	}
	if len(faults) > 0 {
		return wanted{}, status.Invalid("manifest.invalid", "the manifest", faults)
	}
	if err := json.NewEncoder(hash).Encode(m); err != nil {
		return wanted{}, err
	}
	w.fingerprint = hex.EncodeToString(hash.Sum(nil))
	return w, nil
}

// readFile reads a manifest, of which not more than is allowed.
func readFile(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, status.New(status.InvalidArgument, "sync.manifests", "no regular file")
	}
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, direct.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	return raw, nil
}

// request is the deployment of one app.
func (c *change) request(w wanted, group string, gate func(context.Context) error) deploy.Request {
	r := deploy.Request{
		Namespace: c.state.Namespace, App: w.m.Name, Environment: w.m.Environment, By: c.by, Runtime: w.m.Runtime,
		Manifest: w.m.Pod, Entry: w.m.Entry, Image: w.m.Image, Secrets: w.m.Secrets, Synced: &deploy.Synced{Group: group, Source: c.source(), Gate: gate},
	}
	if w.dir != "" {
		r.Git = &builds.GitSource{Want: c.want}
		if w.dir != "." {
			r.Git.Path = w.dir
		}
	}
	return r
}
