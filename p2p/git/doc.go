// Package git finds a commit in a repository that a stranger runs, and brings
// its files.
//
// [Fetcher.Resolve] turns a branch, a tag or a commit id into one commit, once:
// every later step uses its id, so that a branch that moves meanwhile changes
// nothing. Hosts share objects between a repository and its forks, so that a
// commit exists under the name of a repository that never merged it (an
// impostor commit). Existence is therefore never asked for: the commits of the
// branch are fetched, without files (--filter=tree:0), and the commit is looked
// for in their list.
//
// [Fetcher.Fetch] takes the host's archive where there is one, and else a
// shallow clone whose blobs are read from the object database: there is no
// checkout, and no filter, hook or attribute has a say. Either way the id of the
// tree is computed from what came, as archives leave files out (export-ignore)
// and write into others (export-subst). Submodules come by the same rules when
// asked for; pointers of large file storage stay pointers.
//
// The server, the objects and the names are hostile. Git runs with a
// configuration and an environment of its own and no others, for one protocol,
// below limits of file size, memory, processor and time, as an unprivileged user
// where this process is root (for file:// as the owner of the repository), in a
// directory that it gets as an open file, since those above it are closed to it.
// The credential is in a file in memory, and with one no redirect is
// followed. What git writes is classified and never shown, as a server may send
// back what it was sent.
package git
