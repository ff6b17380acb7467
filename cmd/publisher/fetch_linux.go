package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// fetch brings the files of a slug into a directory of its own. What is asked of git
// is what a provider would ask.
func fetch(ctx context.Context, s slug.Slug, branch, path string, token *publisher.GitCredential) (_ *fetched, err error) {
	dir, err := os.MkdirTemp("", "apocryph-plan-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	closers := []func() error{func() error { return os.RemoveAll(dir) }}
	done := func() error {
		var err error
		for i := range closers {
			err = errors.Join(err, closers[len(closers)-1-i]())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, done())
		}
	}()
	cfg := git.Config{Bases: slug.DefaultBases(), Dir: filepath.Join(dir, "git")}
	if s.Host == slug.File {
		// It is this user's own disk.
		cfg.AllowFile = []string{"/"}
		if _, err := os.Stat(s.Repo); err != nil {
			return nil, status.Wrap(err, status.InvalidArgument, git.ReasonRepository, "there is no repository %s", s)
		}
	}
	if s.Host == slug.Git {
		// Who runs this has named the host, and it is looked up from his own machine.
		cfg.AllowHosts = []string{hostOf(s)}
	}
	if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	f, err := git.New(cfg)
	if err != nil {
		return nil, err
	}
	want := git.Want{Slug: s, Branch: branch}
	if token != nil {
		want.Credential = &git.Credential{Username: token.Username, Password: token.Token}
	}
	found, err := f.Resolve(ctx, want)
	if err != nil {
		return nil, err
	}
	tree, err := source.NewTree(dir, source.DefaultLimits())
	if err != nil {
		return nil, err
	}
	closers = append(closers, tree.Close)
	if _, err := f.Fetch(ctx, want, found, tree, nil); err != nil {
		return nil, err
	}
	files, err := git.Sub(tree.FS(), path)
	if err != nil {
		return nil, err
	}
	return &fetched{files, origin{found.Repository, found.Branch, found.Commit}, done}, nil
}
