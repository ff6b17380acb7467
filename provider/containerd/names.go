package containerd

import (
	"crypto/sha256"
	"encoding/base32"
	"path/filepath"
	"regexp"
	"strings"

	"apocryph/provider"
)

// shortHash is n characters of [a-z2-7]: 5 bits each of a SHA-256 over the
// parts, with their lengths told apart.
func shortHash(n int, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)))[:n]
}

// names are the names of one provider's things on a machine that it shares.
type names struct {
	// bridge has at most 15 bytes, as every interface (IFNAMSIZ, linux/if.h).
	bridge string
	table  string
	cgroup string
	id     string
}

func namesOf(identity string) names {
	id := shortHash(8, identity)
	return names{bridge: "apo-" + id, table: "apocryph-" + id, cgroup: "/apocryph-" + id, id: identity}
}

// veth is the host's end of an instance's link: 14 bytes.
func (n names) veth(id provider.InstanceID) string { return "av" + shortHash(12, n.id, string(id)) }

// namespaceOf is the containerd namespace of a publisher. Images of different
// publishers never share unpacked layers: who has the plain layers of another
// would otherwise see that the other has them too.
func namespaceOf(p provider.PublisherID) string { return "p-" + shortHash(32, string(p)) }

// containerID is the id in containerd, which allows 76 bytes: too few for the
// real names, which are kept in the record.
func containerID(id provider.InstanceID, container string) string {
	return "c-" + shortHash(32, string(id), container)
}

// safeName is what may become part of a path. It excludes "." and "..".
var safeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,98}[A-Za-z0-9])?$`)

// layout is where things are below the three directories.
type layout struct{ data, keep, run string }

func (l layout) root() string      { return filepath.Join(l.data, "containerd") }
func (l layout) bin() string       { return filepath.Join(l.data, "bin") }
func (l layout) instances() string { return filepath.Join(l.data, "instances") }

// boot is what no reboot may leave, and yet is plaintext: bundles hold the
// environment, and /run may be on a disk.
func (l layout) boot() string { return filepath.Join(l.data, "boot") }

// bound is where boot is mounted once more: user namespaces go to their root
// file systems through it, and the directories above DataDir may be private.
func (l layout) bound() string    { return filepath.Join(l.run, "boot") }
func (l layout) state() string    { return filepath.Join(l.bound(), "state") }
func (l layout) runcRoot() string { return filepath.Join(l.bound(), "runc") }

func (l layout) ranges() string  { return filepath.Join(l.keep, "uids") }
func (l layout) network() string { return filepath.Join(l.keep, "network.json") }

// grpcAddress is where nobody listens: shims get it and never dial it. It tells
// whose shim a process is.
func (l layout) grpcAddress() string { return filepath.Join(l.run, "g.sock") }

func (l layout) tmp() string        { return filepath.Join(l.run, "tmp") }
func (l layout) fifos() string      { return filepath.Join(l.run, "fifo") }
func (l layout) namespaces() string { return filepath.Join(l.run, "ns") }
func (l layout) secrets() string    { return filepath.Join(l.run, "secrets") }

// instance is everything durable of an instance. The caller has checked the id
// with safeName, here and below.
func (l layout) instance(id provider.InstanceID) string {
	return filepath.Join(l.instances(), string(id))
}

func (l layout) record(id provider.InstanceID) string {
	return filepath.Join(l.instance(id), "record.json")
}

func (l layout) logs(id provider.InstanceID) string { return filepath.Join(l.instance(id), "logs") }

func (l layout) exit(id provider.InstanceID, container string) string {
	return filepath.Join(l.instance(id), "exits", container)
}

func (l layout) logFile(id provider.InstanceID, container string) string {
	return filepath.Join(l.logs(id), container+".log")
}

func (l layout) emptyDir(id provider.InstanceID, volume string) string {
	return filepath.Join(l.instance(id), "empty", volume)
}

// volumeName is what a pod's volume is called where it is kept. Neither part has a dot.
func volumeName(pod provider.PodID, volume string) string { return string(pod) + "." + volume }

func (l layout) secret(id provider.InstanceID, volume string) string {
	return filepath.Join(l.secrets(), string(id), volume)
}

func (l layout) netns(id provider.InstanceID) string {
	return filepath.Join(l.namespaces(), string(id)+".net")
}

func (l layout) userns(id provider.InstanceID) string {
	return filepath.Join(l.namespaces(), string(id)+".user")
}
