package build

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// maxRequirements bounds a requirements file in bytes, maxRequirement its lines.
const (
	maxRequirements = 1 << 20
	maxRequirement  = 4096
)

// requirement is one line of a requirements file (PEP 508, and pip's options).
type requirement struct {
	// name is normalised; version is set where one is pinned with ==.
	name, version string
	// text is what stands before the options, the marker with it.
	text   string
	marked bool
	// hashes are hex, of SHA-256.
	hashes []string
}

var (
	requirementPattern = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[A-Za-z0-9._, -]*\])?\s*([^;@]*)(;.*)?$`)
	pinnedPattern      = regexp.MustCompile(`^\(?===?\s*([A-Za-z0-9_.!+-]+)\)?$`)
	hashPattern        = regexp.MustCompile(`--hash[= ]sha256:([0-9a-f]{64})(\s|$)`)
)

// ignoredOptions say where pip would look, which is decided elsewhere.
var ignoredOptions = []string{"--require-hashes", "--only-binary", "--prefer-binary", "--no-index", "--find-links", "-f", "--no-binary"}

// parseRequirements reads a requirements file. Editable, local and remote
// requirements and other files are refused: they are not pinned by this one.
func parseRequirements(data []byte) ([]requirement, error) {
	var (
		out    []requirement
		faults []status.Fault
	)
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	text = strings.ReplaceAll(text, "\\\n", " ")
	lines := strings.Split(text, "\n")
	if len(lines) > maxRequirement {
		return nil, status.New(status.InvalidArgument, "build.lock", "requirements.txt has %d lines, want at most %d", len(lines), maxRequirement)
	}
	for _, line := range lines {
		if i := strings.Index(line, " #"); i >= 0 {
			line = line[:i]
		}
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if option, _, _ := strings.Cut(strings.Fields(line)[0], "="); slices.Contains(ignoredOptions, option) {
			continue
		}
		r, ok := parseRequirement(line)
		if !ok {
			if len(faults) < maxFaults {
				faults = append(faults, status.Fault{Field: "requirements.txt", Got: fmt.Sprintf("%.120q", line), Want: "NAME==VERSION with --hash=sha256:… for each file"})
			}
			continue
		}
		out = append(out, r)
	}
	if len(faults) > 0 {
		return nil, status.Invalid("build.lock", requirementsName, faults)
	}
	return out, nil
}

func parseRequirement(line string) (requirement, bool) {
	var r requirement
	head, options := line, ""
	if i := strings.Index(line, " --"); i >= 0 {
		head, options = strings.TrimSpace(line[:i]), line[i+1:]
	}
	for _, m := range hashPattern.FindAllStringSubmatch(options, -1) {
		r.hashes = append(r.hashes, m[1])
	}
	if strings.TrimSpace(hashPattern.ReplaceAllString(options, " ")) != "" {
		return r, false
	}
	m := requirementPattern.FindStringSubmatch(head)
	if m == nil {
		return r, false
	}
	r.name, r.text, r.marked = normalName(m[1]), head, m[3] != ""
	if pin := pinnedPattern.FindStringSubmatch(strings.TrimSpace(m[2])); pin != nil && !strings.Contains(m[2], "*") {
		r.version = pin[1]
	}
	return r, true
}

// locked refuses requirements that may be another thing tomorrow.
func locked(all []requirement) error {
	var faults []status.Fault
	for _, r := range all {
		got := ""
		switch {
		case r.version == "":
			got = "no version"
		case len(r.hashes) == 0:
			got = "no hash"
		default:
			continue
		}
		if len(faults) < maxFaults {
			faults = append(faults, status.Fault{Field: "requirements.txt: " + r.name, Got: got, Want: "NAME==VERSION with --hash=sha256:… for each file"})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return status.Invalid("build.lock", requirementsName, faults).
		WithHint("an image must be the same tomorrow: write hashes with pip-compile --generate-hashes or uv export, or put wheels into wheels/")
}

// lockText is the requirements in one form, for pip.
func lockText(all []requirement) []byte {
	var b strings.Builder
	for _, r := range all {
		b.WriteString(r.text)
		for _, h := range r.hashes {
			b.WriteString(" --hash=sha256:" + h)
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// holds checks wheels against requirements: each wanted is there, in its version, and
// with one of its hashes. Strict also refuses what nobody asked for.
func holds(all []requirement, wheels []*wheel, strict bool) error {
	var faults []status.Fault
	fault := func(name, got, want string) {
		if len(faults) < maxFaults {
			faults = append(faults, status.Fault{Field: "wheels: " + name, Got: got, Want: want})
		}
	}
	asked := map[string]bool{}
	for _, r := range all {
		i := slices.IndexFunc(wheels, func(w *wheel) bool { return w.name.dist == r.name })
		asked[r.name] = true
		switch {
		case i < 0 && !r.marked:
			fault(r.name, "no wheel that fits", r.text)
		case i < 0:
		case r.version != "" && !sameVersion(r.version, wheels[i].name.version):
			if !r.marked {
				fault(r.name, "version "+wheels[i].name.version, r.text)
			}
		case len(r.hashes) > 0 && !slices.Contains(r.hashes, wheels[i].sha256):
			fault(r.name, "sha256 "+wheels[i].sha256, "one of the hashes in the lock file")
		}
	}
	if strict {
		for _, w := range wheels {
			if !asked[w.name.dist] {
				fault(w.name.dist, "a wheel that the lock file does not have", "none")
			}
		}
	}
	if len(faults) > 0 {
		return status.Invalid("build.lock", "dependencies", faults)
	}
	return nil
}
