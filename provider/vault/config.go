package vault

import (
	"log/slog"
	"path/filepath"
	"regexp"
	"strconv"

	"apocryph/proto/status"
)

// Kind is how storage is protected. Claims name it.
type Kind string

// The kinds.
const (
	// FSCrypt is an encrypted directory on a loop device.
	FSCrypt Kind = "fscrypt"
	// TmpFS is memory.
	TmpFS Kind = "tmpfs"
	// None is a plain directory: the disk's owner reads it.
	None Kind = "none"
)

// Config says what storage to open.
type Config struct {
	// Dir is absolute and durable; the vault owns it. Every directory above it
	// must let strangers pass (mode 0711).
	Dir string
	// Kind is FSCrypt when empty.
	Kind Kind
	// Fallback allows None where the machine cannot do FSCrypt.
	Fallback bool
	// Size is what private storage may hold, file system overhead included, in
	// bytes. 0 is half of the free disk with FSCrypt; TmpFS needs a size; None
	// has no limit. Storage that is there grows to it where it can, and never
	// shrinks before the next boot.
	Size int64
	// Reserve takes the disk space of private storage at once. Without it the
	// image is sparse, and a disk that others fill breaks what is written here.
	Reserve bool
	// Logger is nil to discard.
	Logger *slog.Logger

	// step is told, in tests, how far things are.
	step func(name string)
}

const (
	// minSize is the least that ext4 with a journal fits into, with room left.
	minSize = 16 << 20
	// maxSize is the largest file of an ext4 below.
	maxSize = 16<<40 - blockSize
	// freeShare is the default part of the free disk, in percent. The other half
	// is for ciphertext and volumes.
	freeShare = 50
)

func (c Config) check() error {
	var faults []status.Fault
	// Paths get into mount tables and into options that colons and commas end.
	if !cleanPath.MatchString(c.Dir) || filepath.Clean(c.Dir) != c.Dir {
		faults = append(faults, status.Fault{Field: "dir", Got: strconv.Quote(c.Dir), Want: "an absolute path of letters, digits and ._-"})
	}
	least := int64(0)
	switch c.Kind {
	case FSCrypt, "":
		if c.Size != 0 {
			least = minSize
		}
	case TmpFS:
		least = 1 << 20
	case None:
	default:
		faults = append(faults, status.Fault{Field: "kind", Got: strconv.Quote(string(c.Kind)), Want: "fscrypt, tmpfs or none"})
	}
	if c.Size < least || c.Size > maxSize {
		faults = append(faults, status.Fault{Field: "size", Got: bytesText(c.Size), Want: bytesText(least) + " to " + bytesText(maxSize)})
	}
	if c.Fallback && c.Kind == TmpFS {
		faults = append(faults, status.Fault{Field: "fallback", Got: "true", Want: "false, for tmpfs is everywhere"})
	}
	if c.Reserve && (c.Kind == TmpFS || c.Kind == None) {
		faults = append(faults, status.Fault{Field: "reserve", Got: "true", Want: "false, for only fscrypt can reserve"})
	}
	if faults != nil {
		return status.Invalid("vault.config", "the configuration of private storage", faults)
	}
	return nil
}

func bytesText(n int64) string { return strconv.FormatInt(n, 10) + " bytes" }

var (
	cleanPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
	// volumeName has no dot in front: neither "." nor ".." nor a hidden file.
	volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)
)

// layout names what is below a vault's directory.
type layout struct{ dir string }

func (l layout) lock() string  { return filepath.Join(l.dir, "lock") }
func (l layout) tmp() string   { return filepath.Join(l.dir, "tmp") }
func (l layout) image() string { return filepath.Join(l.dir, "private.img") }
func (l layout) mount() string { return filepath.Join(l.dir, "mnt") }

// images and mounts have a file and a directory per volume.
func (l layout) images() string                 { return filepath.Join(l.dir, "images") }
func (l layout) mounts() string                 { return filepath.Join(l.dir, "mounts") }
func (l layout) volumeImage(name string) string { return filepath.Join(l.images(), name+imageSuffix) }
func (l layout) volumeMount(name string) string { return filepath.Join(l.mounts(), name) }

const (
	imageSuffix = ".img"
	// dataDir is the directory of a file system that has the policy: ext4 allows
	// none on the topmost one.
	dataDir = "data"
)
