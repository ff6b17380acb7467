package git

import (
	"encoding/base64"
	"net/url"
	"strings"

	"apocryph/manifest/slug"
)

// hardening is the whole configuration that git has, beside two lines in the
// scratch repository: the files of the machine and of users are not read. Nothing
// is synced, as a scratch repository does not outlive its process.
const hardening = `[core]
	hooksPath = /dev/null
	askPass = /bin/false
	fsmonitor = false
	fsync = none
	bigFileThreshold = 16m
	packedGitWindowSize = 32m
	packedGitLimit = 512m
	deltaBaseCacheLimit = 64m
[protocol]
	version = 2
[fetch]
	fsckObjects = true
	unpackLimit = 1
	recurseSubmodules = false
	writeCommitGraph = false
	showForcedUpdates = false
[fetch "fsck"]
	missingSpaceBeforeDate = warn
	badTimezone = warn
	badDate = warn
	badDateOverflow = warn
	missingEmail = warn
	missingNameBeforeEmail = warn
	badName = warn
	badEmail = warn
	missingTaggerEntry = warn
	zeroPaddedFilemode = warn
[transfer]
	fsckObjects = true
	bundleURI = false
[pack]
	threads = 1
	windowMemory = 64m
[index]
	threads = 1
[gc]
	auto = 0
[maintenance]
	auto = false
[credential]
	helper =
[http]
	lowSpeedLimit = 1000
	lowSpeedTime = 30
	sslVerify = true
	emptyAuth = false
	userAgent = git/apocryph
`

// gitconfig is the configuration for one repository. The credential is in this
// file, which is in memory, and nowhere else: what is in arguments and environments
// is seen by others. With one, redirects are not followed, as git would send it
// to wherever they lead.
func gitconfig(repository, pin string, host slug.Host, c *Credential) string {
	var b strings.Builder
	b.WriteString(hardening)
	switch {
	case pin != "":
		// Where a redirect leads, nobody has looked.
		b.WriteString("\tfollowRedirects = false\n\tcurloptResolve = \"" + pin + "\"\n")
	case c == nil:
		b.WriteString("\tfollowRedirects = initial\n")
	default:
		b.WriteString("\tfollowRedirects = false\n")
	}
	if c != nil {
		if u, err := url.Parse(repository); err == nil && u.Host != "" {
			b.WriteString("[http \"" + u.Scheme + "://" + u.Host + "/\"]\n\textraHeader = \"Authorization: " + basic(host, c) + "\"\n")
		}
	}
	if host == slug.File {
		b.WriteString("[safe]\n\tdirectory = *\n")
	}
	return b.String()
}

// basic is the value of an Authorization header. Hosts that take a token alone
// want one of these names with it.
func basic(host slug.Host, c *Credential) string {
	user := c.Username
	if user == "" {
		user = "git"
		switch host {
		case slug.GitHub:
			user = "x-access-token"
		case slug.GitLab:
			user = "oauth2"
		}
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+c.Password))
}
