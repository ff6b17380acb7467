package manifest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"apocryph/proto/status"
)

// MaxSecretFiles and MaxSecretBytes bound one secret volume: it travels in one
// message and is kept in a provider's memory, where no limit of the pod counts it.
const (
	MaxSecretFiles = 256
	MaxSecretBytes = 1 << 20
)

// secretFile is the name of a file of a secret volume. Dots in front are what
// people hide files with, and what ".." begins with.
var secretFile = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$`)

// SecretFaults are what keeps files from being those of one secret volume, with
// names below field. No fault shows a byte of a secret.
func SecretFaults(field string, files map[string][]byte) []status.Fault {
	var faults []status.Fault
	total := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		total += len(files[name])
		if !secretFile.MatchString(name) {
			faults = append(faults, status.Fault{Field: field, Got: fmt.Sprintf("a file %.80q", name), Want: "names of letters, digits and ._-, without a dot in front"})
		}
	}
	if len(files) == 0 || len(files) > MaxSecretFiles {
		faults = append(faults, status.Fault{Field: field, Got: strconv.Itoa(len(files)) + " files", Want: fmt.Sprintf("1 to %d", MaxSecretFiles)})
	}
	if total > MaxSecretBytes {
		faults = append(faults, status.Fault{Field: field, Got: strconv.Itoa(total) + " bytes", Want: fmt.Sprintf("at most %d", MaxSecretBytes)})
	}
	return faults
}

// Reserved reports which path of the runtime's own a volume at p would cover,
// "" for none: devices, what confinement relies on, and the files that name the
// pod and its resolver.
func Reserved(p string) string {
	for _, dir := range reserved {
		if within(p, dir) {
			return dir
		}
	}
	return ""
}

var reserved = []string{"/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
