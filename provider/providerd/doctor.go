package providerd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sys/unix"
)

// Diagnosis is one thing that a provider needs and whether it is there.
type Diagnosis struct {
	Name string
	OK   bool
	// Found is what is there, Do what to do about it where that is needed.
	Found, Do string
}

// leastFree is how much disk a provider should have free, in bytes.
const leastFree = 2 << 30

// Diagnose looks at what a provider with this configuration needs. It changes
// nothing on the machine.
func Diagnose(cfg Config) []Diagnosis {
	out := append([]Diagnosis{checkRoot()}, checkTEE(cfg)...)
	out = append(out,
		checkCgroups(), checkNamespaces(), checkForwarding(), checkFilter(),
		checkDisk(cfg.DataDir), checkClock(),
	)
	out = append(out, checkStorage(cfg)...)
	out = append(out, checkBuilds(cfg)...)
	out = append(out, checkListen("ingress", cfg.Ingress))
	for _, a := range cfg.API {
		out = append(out, checkListen("api", a))
	}
	for _, a := range cfg.Listen {
		out = append(out, checkPeerListen(a))
	}
	return out
}

func checkRoot() Diagnosis {
	if os.Geteuid() == 0 {
		return Diagnosis{Name: "root", OK: true, Found: "running as root"}
	}
	return Diagnosis{Name: "root", Found: fmt.Sprintf("running as uid %d", os.Geteuid()), Do: "start the provider as root: it makes namespaces, mounts and cgroups"}
}

func checkCgroups() Diagnosis {
	d := Diagnosis{Name: "cgroups"}
	var missing []string
	if b, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		for _, c := range []string{"cpu", "memory", "pids"} {
			if !slices.Contains(strings.Fields(string(b)), c) {
				missing = append(missing, c)
			}
		}
		d.OK, d.Found = len(missing) == 0, "version 2"
		if !d.OK {
			d.Found, d.Do = "version 2 without "+strings.Join(missing, ", "), "boot without cgroup_disable, with a kernel that has the controllers"
		}
		return d
	}
	for _, c := range []string{"cpu", "memory", "pids", "devices", "freezer"} {
		if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", c)); err != nil {
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 {
		d.OK, d.Found = true, "version 1"
		return d
	}
	d.Found = "version 1 without " + strings.Join(missing, ", ")
	d.Do = "boot with systemd.unified_cgroup_hierarchy=1, or mount the missing controllers"
	return d
}

func checkNamespaces() Diagnosis {
	d := Diagnosis{Name: "namespaces"}
	var missing []string
	for _, ns := range []string{"user", "net", "mnt", "pid", "ipc", "uts"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			missing = append(missing, ns)
		}
	}
	if b, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil && strings.TrimSpace(string(b)) == "0" {
		missing = append(missing, "user (max_user_namespaces is 0)")
	}
	if len(missing) == 0 {
		d.OK, d.Found = true, "all there"
		return d
	}
	d.Found, d.Do = "missing: "+strings.Join(missing, ", "), "use a kernel with them; sysctl user.max_user_namespaces=15000"
	return d
}

func checkForwarding() Diagnosis {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	switch {
	case err != nil:
		return Diagnosis{Name: "forwarding", Found: err.Error(), Do: "use a kernel with IPv4"}
	case strings.TrimSpace(string(b)) == "1":
		return Diagnosis{Name: "forwarding", OK: true, Found: "on"}
	}
	return Diagnosis{Name: "forwarding", OK: true, Found: "off; the provider turns it on when it starts"}
}

func checkFilter() Diagnosis {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return Diagnosis{Name: "nftables", Found: err.Error(), Do: "use a kernel with nf_tables: pods are kept apart with it"}
	}
	_ = unix.Close(fd)
	return Diagnosis{Name: "nftables", OK: true, Found: "the kernel answers"}
}

func checkDisk(dir string) Diagnosis {
	at := dir
	var st unix.Statfs_t
	for {
		err := unix.Statfs(at, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.ENOENT) || at == filepath.Dir(at) {
			return Diagnosis{Name: "disk", Found: err.Error(), Do: "choose another --data-dir"}
		}
		at = filepath.Dir(at)
	}
	free := st.Bavail * uint64(st.Bsize)
	d := Diagnosis{Name: "disk", OK: free >= leastFree, Found: fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), dir)}
	if !d.OK {
		d.Do = fmt.Sprintf("free at least %d GiB, or choose another --data-dir", leastFree>>30)
	}
	return d
}

// checkClock refuses a clock that is surely wrong: certificates and adverts
// are valid for a time.
func checkClock() Diagnosis {
	now := time.Now()
	built := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	if now.Before(built) {
		return Diagnosis{Name: "clock", Found: now.UTC().Format(time.RFC3339) + ", which is before this program was made", Do: "set the clock; run an NTP client"}
	}
	return Diagnosis{Name: "clock", OK: true, Found: now.UTC().Format(time.RFC3339)}
}

func checkListen(name, addr string) Diagnosis {
	l, err := net.Listen("tcp", addr)
	return checkBound(name, addr, l, err)
}

// checkPeerListen looks at a multiaddr of TCP or QUIC.
func checkPeerListen(addr string) Diagnosis {
	a, err := multiaddr.NewMultiaddr(addr)
	if err != nil {
		return checkBound("p2p", addr, nil, err)
	}
	if _, err := a.ValueForProtocol(multiaddr.P_UDP); err == nil {
		// QUIC is what UDP carries here; the socket is bound below it.
		l, err := manet.ListenPacket(a.Decapsulate(quic))
		return checkBound("p2p", addr, l, err)
	}
	l, err := manet.Listen(a)
	return checkBound("p2p", addr, l, err)
}

func checkBound(name, addr string, l io.Closer, err error) Diagnosis {
	if err != nil {
		return Diagnosis{Name: name, Found: addr + ": " + err.Error(), Do: "stop what holds it, or choose another address"}
	}
	_ = l.Close()
	return Diagnosis{Name: name, OK: true, Found: addr + " is free"}
}

var quic = multiaddr.StringCast("/quic-v1")
