//go:build !linux

package main

import (
	"context"

	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// fetch is for Linux: git is held to its limits by what that has.
func fetch(context.Context, slug.Slug, string, string, *publisher.GitCredential) (*fetched, error) {
	return nil, status.New(status.Unimplemented, "plan.system", "a repository is fetched on Linux alone").
		WithHint("clone it, and plan the directory; `publisher deploy --git` works here, for the provider fetches")
}
