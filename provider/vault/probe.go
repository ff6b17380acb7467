package vault

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Finding is one thing that protected storage needs, and whether it is there.
type Finding struct {
	Name string
	OK   bool
	// Found is what is there, Do what to do about it; Do is empty when OK.
	Found, Do string
}

// The names of findings that callers treat in a way of their own.
const (
	// PlainStorage says that nothing protects what is kept.
	PlainStorage = "plain storage"
	// Swap says whether memory can reach a disk.
	Swap = "swap"
)

// leastSpace is what private storage should be able to take of a disk, in bytes.
const leastSpace = 2 << 30

// Probe looks whether a machine can do what cfg asks for, and whether memory
// can reach its disk through swap. It changes nothing, and so it cannot tell
// everything: the cipher of a kernel is known when it is used.
func Probe(cfg Config) []Finding {
	swap := probeSwap(swapTable, "/sys/block")
	switch cfg.Kind {
	case None:
		return []Finding{{
			Name: PlainStorage, Found: "plain directories: the owner of the disk reads the pods",
			Do: "ask for fscrypt",
		}, swap}
	case TmpFS:
		return []Finding{probeFS("tmpfs"), probeMemory(cfg.Size), swap}
	}
	return []Finding{
		probeEncryption("/sys/fs/ext4/features/encryption"), probeLoop("/dev/loop-control"), probeMkfs(), probeSpace(cfg),
		probeGrowth(), probeSpeed("/proc/crypto"), swap,
	}
}

func probeEncryption(feature string) Finding {
	f := Finding{Name: "ext4 encryption"}
	_, err := os.Stat(feature)
	_, noExt4 := os.Stat(filepath.Dir(feature))
	switch {
	case err == nil:
		f.OK, f.Found = true, "the kernel has it"
	case noExt4 != nil:
		f.Found, f.Do = "ext4 is not loaded", "modprobe ext4, then look again; the kernel needs CONFIG_EXT4_FS and CONFIG_FS_ENCRYPTION"
	default:
		f.Found, f.Do = "the kernel's ext4 has none", "use a kernel with CONFIG_FS_ENCRYPTION"
	}
	return f
}

func probeLoop(control string) Finding {
	f := Finding{Name: "loop devices"}
	c, err := os.OpenFile(control, os.O_RDWR, 0)
	if err == nil {
		_ = c.Close()
		f.OK, f.Found = true, control
		return f
	}
	f.Found = err.Error()
	f.Do = "modprobe loop; in a container, pass /dev/loop-control and /dev/loop*"
	if errors.Is(err, fs.ErrPermission) {
		f.Do = "start the provider as root, and let its container use loop devices"
	}
	return f
}

func probeMkfs() Finding {
	f := Finding{Name: "mkfs.ext4"}
	path, err := findMkfs()
	if err != nil {
		f.Found, f.Do = "not here", "install e2fsprogs"
		return f
	}
	f.OK, f.Found = true, path
	return f
}

func probeFS(name string) Finding {
	f := Finding{Name: name, Found: "the kernel has none", Do: "use a kernel with " + name}
	b, err := os.ReadFile("/proc/filesystems")
	if err == nil && strings.Contains(string(b), "\t"+name+"\n") {
		f.OK, f.Found, f.Do = true, "the kernel has it", ""
	}
	return f
}

func probeMemory(size int64) Finding {
	f := Finding{Name: "memory"}
	var in unix.Sysinfo_t
	if err := unix.Sysinfo(&in); err != nil {
		f.Found, f.Do = err.Error(), "use fscrypt"
		return f
	}
	total := in.Totalram * uint64(in.Unit)
	f.Found = fmt.Sprintf("%s, of which storage may take %s", gib(total), gib(uint64(size)))
	f.OK = size > 0 && uint64(size) <= total/2
	if !f.OK {
		f.Do = "give storage at most half of the memory, or use fscrypt"
	}
	return f
}

// probeSpace looks at the disk of the directory, or of the nearest one above
// that is there.
func probeSpace(cfg Config) Finding {
	f := Finding{Name: "private storage"}
	at := filepath.Clean(cfg.Dir)
	var free int64
	for {
		var err error
		if free, err = freeDisk(at); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			f.Found, f.Do = err.Error(), "choose another data directory"
			return f
		}
		at = filepath.Dir(at)
	}
	want := max(cfg.Size, leastSpace)
	// What an image has already is not free, and not missing.
	if dev, err := findLoop(layout{cfg.Dir}.image()); err == nil {
		if have, err := ext4Size(dev.f); err == nil {
			want = max(0, cfg.Size-have)
		}
		_ = dev.close()
	}
	f.OK, f.Found = free >= want, fmt.Sprintf("%s free for %s", gib(uint64(free)), cfg.Dir)
	if !f.OK {
		f.Do = fmt.Sprintf("free at least %s, ask for less, or choose another data directory", gib(uint64(want)))
	}
	return f
}

// probeGrowth is no more than a remark: only some need it.
func probeGrowth() Finding {
	f := Finding{Name: "growing storage", OK: true, Found: "possible while it is used"}
	if able, err := canResize(); err != nil || !able {
		f.Found = "not possible: this process has no CAP_SYS_RESOURCE"
	}
	return f
}

// probeSpeed is a remark as well. Drivers of processors' own instructions are
// listed from when they are loaded, those in software from when they are used.
func probeSpeed(table string) Finding {
	f := Finding{Name: "encryption speed", OK: true, Found: "AES in software, ten times slower than the processor's own: the kernel has no driver loaded, such as aesni_intel"}
	b, err := os.ReadFile(table)
	if err != nil {
		f.Found = "unknown: " + err.Error()
		return f
	}
	for line := range strings.Lines(string(b)) {
		key, driver, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.TrimSpace(key) != "driver" || !strings.Contains(driver, "xts") || !strings.Contains(driver, "aes") {
			continue
		}
		// x86, ARM, POWER and s390 in this order.
		for _, fast := range []string{"aesni", "vaes", "xts-aes-ce", "neon", "p8_aes", "s390"} {
			if strings.Contains(driver, fast) {
				f.Found = "AES of the processor:" + driver
				return f
			}
		}
	}
	return f
}

func gib(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

const swapTable = "/proc/swaps"

// probeSwap finds swap that is on a disk and not encrypted: whatever is in
// memory may be written there.
func probeSwap(table, block string) Finding {
	f := Finding{Name: Swap, OK: true, Found: "off"}
	t, err := os.Open(table)
	if errors.Is(err, fs.ErrNotExist) {
		f.Found = "the kernel has none"
		return f
	} else if err != nil {
		return Finding{Name: Swap, Found: err.Error(), Do: "make sure that swap is off"}
	}
	defer t.Close()
	all, err := swaps(t)
	if err != nil {
		return Finding{Name: Swap, Found: err.Error(), Do: "make sure that swap is off"}
	}
	var open []string
	for _, s := range all {
		if !swapSafe(s, block) {
			open = append(open, s)
		}
	}
	switch {
	case len(open) > 0:
		return Finding{
			Name: Swap, Found: "on, and not encrypted: " + strings.Join(open, ", "),
			Do: "swapoff " + strings.Join(open, " ") + ", or encrypt it with a random key: memory of pods, and keys, can reach the disk",
		}
	case len(all) > 0:
		f.Found = "in memory or encrypted: " + strings.Join(all, ", ")
	}
	return f
}

// swaps reads the names of a table in the format of proc_swaps(5).
func swaps(r io.Reader) ([]string, error) {
	var names []string
	s := bufio.NewScanner(r)
	for first := true; s.Scan(); first = false {
		if name, _, ok := strings.Cut(s.Text(), " "); ok && !first {
			name, _, _ = strings.Cut(name, "\t")
			names = append(names, name)
		}
	}
	return names, s.Err()
}

// swapSafe reports whether swap is on dm-crypt, or in compressed memory without
// a disk behind it.
func swapSafe(path, block string) bool {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dev := filepath.Join(block, filepath.Base(path))
	// The prefix is cryptsetup's.
	if id, err := os.ReadFile(filepath.Join(dev, "dm/uuid")); err == nil {
		return strings.HasPrefix(string(id), "CRYPT-")
	}
	if !strings.HasPrefix(filepath.Base(path), "zram") || filepath.Dir(path) != "/dev" {
		return false
	}
	behind, err := os.ReadFile(filepath.Join(dev, "backing_dev"))
	return errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(behind)) == "none"
}
