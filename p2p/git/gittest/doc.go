// Package gittest runs a host of git repositories for tests.
//
// A [Server] is real git (git http-backend, a CGI program) behind a listener of
// httptest, and beside it GitHub's archive endpoint with what makes that
// endpoint hard: it sends on to another path, its gzip bytes are never the same
// twice, it honours export-ignore and export-subst, answers 404 for private
// repositories, and makes an archive of any commit that any fork has. As on
// GitHub, a repository and its forks share their objects, and any object can be
// fetched by its id.
//
// Repositories are written without running git: [Repo.Commit] makes objects of
// fixed authors and times, so that their ids are the same in each run.
// [Repo.Object] and [Repo.RawTree] write what git itself refuses to make.
package gittest
