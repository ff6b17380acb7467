package tsm

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-configfs-tsm/configfs/configfsi"

	"apocryph/attest"
)

// Where Linux shows what a confidential guest has.
const (
	ReportDir     = configfsi.TsmPrefix + "/report"
	SEVGuestFile  = "/dev/sev-guest"
	TDXGuestFile  = "/dev/tdx_guest"
	cpuInfo       = "/proc/cpuinfo"
	flagSNP       = "sev_snp"
	flagTDX       = "tdx_guest"
	maxCPUInfo    = 1 << 20
	probePattern  = "probe"
	providerEntry = "provider"
)

// Found is what a machine has of confidential computing.
type Found struct {
	// ReportDir says that configfs-tsm is there, Provider which platform answers:
	// "sev_guest", "tdx_guest" or another; empty where none did.
	ReportDir bool
	Provider  string
	// ProviderErr is why the platform could not be asked for its name.
	ProviderErr error
	// SEVGuest and TDXGuest are the device files.
	SEVGuest, TDXGuest bool
	// FlagSNP and FlagTDX are the processor's flags, as the kernel shows them in guests.
	FlagSNP, FlagTDX bool
	// BootLog says that the event log of confidential firmware is there.
	BootLog bool
}

// Probe looks at the machine below root, which is "/" but in tests. A request is
// made and removed to learn the platform's name; a nil client is one for root.
func Probe(root string, c Client) Found {
	f := Found{
		ReportDir: isDir(filepath.Join(root, ReportDir)), BootLog: exists(filepath.Join(root, CCEL)),
		SEVGuest: exists(filepath.Join(root, SEVGuestFile)), TDXGuest: exists(filepath.Join(root, TDXGuestFile)),
	}
	flags := cpuFlags(filepath.Join(root, cpuInfo))
	f.FlagSNP, f.FlagTDX = slices.Contains(flags, flagSNP), slices.Contains(flags, flagTDX)
	if c == nil {
		c = NewClient(root)
	} else {
		f.ReportDir = true
	}
	if f.ReportDir {
		f.Provider, f.ProviderErr = providerName(c)
	}
	return f
}

// Type is the evidence that a machine can make, and false where it can make none.
func (f Found) Type() (attest.Type, bool) {
	switch {
	case f.Provider == providerSNP, f.Provider == "" && f.SEVGuest:
		return attest.SEVSNP, true
	case f.Provider == providerTDX, f.Provider == "" && f.TDXGuest && f.ReportDir:
		return attest.TDX, true
	}
	return "", false
}

func providerName(c Client) (name string, err error) {
	entry, err := c.MkdirTemp(ReportDir, probePattern)
	if err != nil {
		return "", err
	}
	defer func() {
		if removeErr := c.RemoveAll(entry); err == nil {
			err = removeErr
		}
	}()
	b, err := c.ReadFile(entry + "/" + providerEntry)
	return strings.TrimSpace(string(b)), err
}

// NewClient returns access to the configfs that is mounted below root.
func NewClient(root string) Client { return rooted(root) }

// rooted is a Client whose paths start below a directory.
type rooted string

func (r rooted) at(path string) string { return filepath.Join(string(r), path) }

// MkdirTemp implements [Client]; the name that it returns has no root.
func (r rooted) MkdirTemp(dir, pattern string) (string, error) {
	made, err := os.MkdirTemp(r.at(dir), pattern)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(made)), nil
}

// ReadFile implements [Client].
func (r rooted) ReadFile(name string) ([]byte, error) { return os.ReadFile(r.at(name)) }

// ReadDir implements [Client].
func (r rooted) ReadDir(dir string) ([]os.DirEntry, error) { return os.ReadDir(r.at(dir)) }

// WriteFile implements [Client]. The kernel makes these files, nobody else.
func (r rooted) WriteFile(name string, contents []byte) error {
	f, err := os.OpenFile(r.at(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// RemoveAll implements [Client]. In configfs a directory goes with its files.
func (r rooted) RemoveAll(path string) error { return os.Remove(r.at(path)) }

func cpuFlags(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxCPUInfo))
	lines.Buffer(nil, maxCPUInfo)
	for lines.Scan() {
		if name, list, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "flags" {
			return strings.Fields(list)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
