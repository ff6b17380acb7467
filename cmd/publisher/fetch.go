package main

import (
	"io/fs"

	"apocryph/attest/commit"
)

// fetched is a tree that was fetched to look at, and what it is of.
type fetched struct {
	tree fs.FS
	origin
	close func() error
}

// origin is the commit that a tree is of, on a branch (its full name) of a repository.
type origin struct {
	Repository, Branch string
	Commit             commit.Commit
}
