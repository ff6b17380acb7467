package build

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

const (
	// maxLock bounds a lock file in bytes, maxLocked its packages: each is a download.
	maxLock   = 32 << 20
	maxLocked = 8192
	// maxURI bounds a package URL in bytes: statements about builds take no longer text.
	maxURI = 2 << 10
)

// npmPackage is a package of a lock file that a production image needs.
type npmPackage struct {
	// path is where it belongs, below node_modules of the tree and with that name;
	// resolved may be empty.
	path, name, version, resolved, license string
	integrity                              integrity
	// bin are the commands by name, as paths in the package.
	bin map[string]string
}

var (
	npmName    = regexp.MustCompile(`^(@[A-Za-z0-9._~-]+/)?[A-Za-z0-9._~-]+$`)
	npmVersion = regexp.MustCompile(`^[A-Za-z0-9.+-]+$`)
)

// inRegistry is the path of the archive in every registry, for lock files that do
// not say where packages are.
func (p npmPackage) inRegistry() string {
	return p.name + "/-/" + path.Base(p.name) + "-" + p.version + ".tgz"
}

// integrity is a hash of a package's archive (W3C Subresource Integrity).
type integrity struct {
	text, algorithm string
	sum             []byte
}

func (i integrity) digest() map[string]string {
	return map[string]string{i.algorithm: hex.EncodeToString(i.sum)}
}

// matches compares a hash.
func (i integrity) matches(sum []byte) bool { return subtle.ConstantTimeCompare(i.sum, sum) == 1 }

// parseIntegrity takes the strongest hash; SHA-1 alone is none.
func parseIntegrity(text string) (integrity, bool) {
	for _, algorithm := range []string{"sha512", "sha384", "sha256"} {
		for field := range strings.FieldsSeq(text) {
			coded, ok := strings.CutPrefix(field, algorithm+"-")
			if !ok {
				continue
			}
			coded, _, _ = strings.Cut(coded, "?")
			sum, err := base64.StdEncoding.DecodeString(coded)
			if err == nil && len(sum) == newHash(algorithm).Size() {
				return integrity{algorithm + "-" + coded, algorithm, sum}, true
			}
		}
	}
	return integrity{}, false
}

// lockFile is package-lock.json of version 2 or 3 (npm's documentation, "package-lock.json").
type lockFile struct {
	Version  int                   `json:"lockfileVersion"`
	Packages map[string]lockedFile `json:"packages"`
}

type lockedFile struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Resolved    string            `json:"resolved"`
	Integrity   string            `json:"integrity"`
	License     any               `json:"license"`
	Dev         bool              `json:"dev"`
	Optional    bool              `json:"optional"`
	Link        bool              `json:"link"`
	InBundle    bool              `json:"inBundle"`
	OS          []string          `json:"os"`
	CPU         []string          `json:"cpu"`
	Libc        []string          `json:"libc"`
	Bin         map[string]string `json:"bin"`
	DevOptional bool              `json:"devOptional"`
}

// nodeCPU is Node's word for Go's architectures.
var nodeCPU = map[string]string{"amd64": "x64", "386": "ia32", "arm64": "arm64", "arm": "arm", "riscv64": "riscv64", "ppc64le": "ppc64", "s390x": "s390x", "loong64": "loong64"}

// parseLock lists what a production image for a platform needs, sorted by path.
func parseLock(data []byte, platform oci.Platform) ([]npmPackage, error) {
	var lock lockFile
	if err := json.Unmarshal(data, &lock); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "build.lock", "%s is not valid", lockName)
	}
	if lock.Version != 2 && lock.Version != 3 {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s: lockfileVersion: got %d, want 2 or 3", lockName, lock.Version).
			WithHint("write it again with npm 7 or later: npm install --package-lock-only")
	}
	if len(lock.Packages) > maxLocked {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s: got %d packages, want at most %d", lockName, len(lock.Packages), maxLocked)
	}
	var (
		out    []npmPackage
		faults []status.Fault
	)
	for _, at := range slices.Sorted(maps.Keys(lock.Packages)) {
		l := lock.Packages[at]
		// The tree itself is "", and workspaces are directories of it.
		if !strings.HasPrefix(at, modulesDir+"/") || l.Dev || l.InBundle || !l.fits(platform) {
			continue
		}
		p, fault := l.read(at)
		if fault != nil {
			if len(faults) < maxFaults {
				faults = append(faults, *fault)
			}
			continue
		}
		out = append(out, p)
	}
	if len(faults) > 0 {
		return nil, status.Invalid("build.lock", lockName, faults)
	}
	return out, nil
}

// read checks one entry.
func (l lockedFile) read(at string) (npmPackage, *status.Fault) {
	fault := func(got, want string) (npmPackage, *status.Fault) {
		return npmPackage{}, &status.Fault{Field: fmt.Sprintf("%s: %.120q", lockName, at), Got: got, Want: want}
	}
	if l.Link {
		return fault("a link to a directory", "a package by its hash; or commit node_modules")
	}
	if !safeName(at) || strings.Contains("/"+at+"/", "/../") {
		return fault("its path", "a path below node_modules")
	}
	sum, ok := parseIntegrity(l.Integrity)
	if !ok {
		return fault(fmt.Sprintf("integrity %.80q", l.Integrity), "a sha512 of the archive")
	}
	name := l.Name
	if name == "" {
		name = at[strings.LastIndex(at, modulesDir+"/")+len(modulesDir)+1:]
	}
	if !npmName.MatchString(name) || !npmVersion.MatchString(l.Version) {
		return fault(fmt.Sprintf("%.80q in version %.80q", name, l.Version), "a name and a version")
	}
	u, err := url.Parse(l.Resolved)
	if l.Resolved != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(purl("npm", name, l.Version, l.Resolved)) > maxURI) {
		return fault(fmt.Sprintf("resolved %.80q", l.Resolved), "an HTTP URL without a password, of at most 2 KiB with name and version")
	}
	p := npmPackage{path: at, name: name, version: l.Version, resolved: l.Resolved, integrity: sum, bin: l.Bin}
	if text, ok := l.License.(string); ok && len(text) < 200 {
		p.license = text
	}
	for name, target := range l.Bin {
		target = path.Clean(target)
		if strings.ContainsAny(name, "/\\") || !safeName(name) || !safeName(target) {
			return fault(fmt.Sprintf("bin %.80q", name), "a name, and a path in the package")
		}
	}
	return p, nil
}

// fits says whether a package is for Linux, the processor and glibc.
func (l lockedFile) fits(platform oci.Platform) bool {
	return allows(l.OS, platform.OS) && allows(l.CPU, nodeCPU[platform.Architecture]) && allows(l.Libc, "glibc")
}

// allows reads a list in which "!x" excludes.
func allows(list []string, value string) bool {
	if len(list) == 0 || slices.Contains(list, value) {
		return true
	}
	if slices.Contains(list, "!"+value) {
		return false
	}
	return strings.HasPrefix(list[0], "!")
}
