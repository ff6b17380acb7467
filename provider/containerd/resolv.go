package containerd

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"apocryph/provider"
)

// maxResolvers is what the resolver of the C library reads (resolv.conf(5), MAXNS).
const maxResolvers = 3

// resolvers are the DNS servers that pods use: the configured ones, or those of
// the host that can be reached from another network namespace. A host with a
// resolver on its loopback is asked for the servers behind that.
func resolvers(configured []netip.Addr) ([]netip.Addr, error) {
	if len(configured) > 0 {
		return configured[:min(len(configured), maxResolvers)], nil
	}
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, err := os.ReadFile(path)
		if !missing(err) {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if found := parseResolvers(string(data)); len(found) > 0 {
			return found, nil
		}
	}
	return nil, nil
}

func parseResolvers(conf string) []netip.Addr {
	var out []netip.Addr
	for line := range strings.Lines(conf) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" || len(out) == maxResolvers {
			continue
		}
		a, err := netip.ParseAddr(f[1])
		if err == nil && a.Is4() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() {
			out = append(out, a)
		}
	}
	return out
}

// nameFiles are the files of /etc that a runtime makes for a container.
func nameFiles(hostname string, ip netip.Addr, servers []netip.Addr, containers []provider.ContainerSpec) map[string]string {
	hosts := "127.0.0.1\tlocalhost\n" + ip.String() + "\t" + hostname + "\n"
	for _, c := range containers {
		if c.Name != hostname {
			hosts += "127.0.0.1\t" + c.Name + "\n"
		}
	}
	resolv := ""
	for _, s := range servers {
		resolv += "nameserver " + s.String() + "\n"
	}
	return map[string]string{"hostname": hostname + "\n", "hosts": hosts, "resolv.conf": resolv}
}
