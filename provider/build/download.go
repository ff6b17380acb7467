package build

import (
	"errors"
	"regexp"
	"strings"

	"apocryph/proto/status"
)

// saying is what a tool that downloads packages writes when it cannot have one.
type saying struct {
	pattern *regexp.Regexp
	// tell makes the error of the pattern's groups that matched.
	tell func(groups []string) *status.Error
}

// The tools' own words, the most telling first: pip goes on after an index that it could
// not reach, and says of a lock file's hash only what it found last. The log of
// pip and go has nothing that the program itself wrote.
var (
	pipSays = []saying{
		{regexp.MustCompile(`DO NOT MATCH THE HASHES[^\n]*\n\s*(\S+)`), otherHash},
		{regexp.MustCompile(`HTTP error (?:5\d\d|429)[^\n]* (\S+)\n`), silent},
		{regexp.MustCompile(`Could not fetch URL (\S+): ([^\n]*?)(?: - skipping)?(?:\n|$)`), silent},
		{regexp.MustCompile(`Looking in indexes: (\S+)[\s\S]* connection broken by '([^\n]*)'`), silent},
		{regexp.MustCompile(`connection broken by '([^\n]*)': (\S+)`), silent},
		{regexp.MustCompile(`No matching distribution found for (\S+)`), absent},
		{regexp.MustCompile(`HTTP error 4\d\d[^\n]* (\S+)\n`), absent},
	}
	// The words of fetch.cjs.
	npmSays = []saying{
		{regexp.MustCompile(`(?m)^another hash: (\S+): `), otherHash},
		{regexp.MustCompile(`(?m)^no answer: (\S+): (.*)$`), silent},
		{regexp.MustCompile(`(?m)^absent: (\S+): `), absent},
	}
	goSays = []saying{
		{regexp.MustCompile(`verifying (\S+): checksum mismatch`), otherHash},
		{regexp.MustCompile(`missing go\.sum entry for module providing package (\S+)`), noHash},
		{regexp.MustCompile(`missing go\.sum entry for go\.mod file; to add it:\s+go mod download (\S+)`), noHash},
		{regexp.MustCompile(`Get "(https?://[^"\n]+)": ([^\n]*)`), silent},
		{regexp.MustCompile(`reading (https?://\S+): ((?:5\d\d|429)[^\n]*)`), silent},
		{regexp.MustCompile(`reading (https?://\S+): 4\d\d`), absent},
	}
)

func otherHash(g []string) *status.Error {
	return status.New(status.InvalidArgument, "build.lock", "%.200s: what the index has is not what the lock file has the hash of", g[0]).
		WithHint("find out which of them changed, and why; then write the lock file again")
}

func noHash(g []string) *status.Error {
	return status.New(status.InvalidArgument, "build.lock", "go.sum has no hash for %.200s", g[0]).WithHint("run go mod tidy, and commit go.sum")
}

func absent(g []string) *status.Error {
	return status.New(status.InvalidArgument, "build.lock", "%.200s: the index has no such file, or none for this machine", g[0]).
		WithHint("of Python projects only wheels are taken; else put the dependency into the repository")
}

// objects are how Python prints what has no text.
var objects = regexp.MustCompile(`<[^<>]* object at 0x[0-9a-f]+>(?:: |, )?`)

func silent(g []string) *status.Error {
	why := objects.ReplaceAllString(strings.Join(g, ": "), "")
	return status.New(status.Unavailable, "build.index", "packages cannot be downloaded: %.300s", why).
		WithHint("deploy again later; where packages come from is the operator's --build-env")
}

// online refuses what is nothing but a download, where there is no network.
func (b *Builder) online(what string) error {
	if b.cfg.Offline {
		return noEgress(what)
	}
	return nil
}

func noEgress(what string) *status.Error {
	return status.New(status.InvalidArgument, "build.egress", "%s would be downloaded, and builds of this provider reach no network", what).
		WithHint("put the dependencies into the repository: the operator has set --build-egress off")
}

// downloaded says of a command that failed what it could not have, if that is why.
func (b *Builder) downloaded(err error, what string, all []saying) error {
	var e *status.Error
	if !errors.As(err, &e) || e.Reason != "build.command" {
		return err
	}
	text := strings.Join(e.Log, "\n") + "\n"
	for _, s := range all {
		m := s.pattern.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		told := s.tell(m[1:])
		if told.Reason == "build.index" && b.cfg.Offline {
			told = noEgress(what)
		}
		told.Log = e.Log
		return told
	}
	return err
}
