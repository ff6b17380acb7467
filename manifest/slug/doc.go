// Package slug reads and writes the names of sources: gh:owner/repo#ref and
// the like.
//
//	gh:OWNER/REPO[#REF]                    a repository on GitHub
//	gl:GROUP[/SUBGROUP…]/REPO[#REF]        one on GitLab
//	git+https://HOST[:PORT]/PATH[#REF]     one that any server has over HTTPS
//	file:///ABSOLUTE/PATH[#REF]            one on the provider's own disk
//
// A slug ends up in URLs, in requests to APIs and in the arguments of git. So
// the grammar is a list of what may stand in one: every part is of characters
// that mean the same in all three places, none begins with a hyphen (it would
// be read as an option), none is "." or "..", nothing is percent-encoded and
// no URL has a user name or password. References obey git-check-ref-format(1),
// and only branches, tags and commit ids are named: refs/pull/1/head holds
// whatever a stranger proposed, under the name of somebody else's repository.
//
// A slug that was parsed is canonical: two spellings of one name give the same
// value, [Parse] of [Slug.String] is the value again, and == compares. GitHub
// does not tell upper from lower case in owners and repositories, so they are
// folded to lower case. Other hosts are taken by the letter, but for the name
// of the host.
//
// [ParseList] reads a file of slugs. [Bases] says where GitHub and GitLab are,
// so that an installation of one's own can stand in for either.
package slug
