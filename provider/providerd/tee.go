package providerd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"apocryph/attest"
	"apocryph/attest/device/collateral"
	"apocryph/attest/device/tsm"
)

// Machine is the interfaces of a confidential machine.
type Machine struct {
	// Root is where device files, the kernel's files and the runtime directory are.
	Root string
	// Reports and Guest are used instead of the kernel's; nil means those.
	Reports tsm.Client
	Guest   tsm.Guest
}

func (c Config) machine() Machine {
	if c.Machine == nil {
		return Machine{Root: "/"}
	}
	return *c.Machine
}

// probe looks at what this machine has of confidential computing.
func (c Config) probe() tsm.Found {
	m := c.machine()
	f := tsm.Probe(m.Root, m.Reports)
	f.SEVGuest = f.SEVGuest || m.Guest != nil
	return f
}

// openTSM opens the device of an SEV-SNP or TDX guest.
func openTSM(s settings, kind attest.Type) (*opened, error) {
	m, found := s.machine(), s.probe()
	state, err := privateDir(s.DataDir, "tee")
	if err != nil {
		return nil, err
	}
	kept, err := privateDir(state, "collateral")
	if err != nil {
		return nil, err
	}
	memory, err := s.memoryDir()
	if err != nil {
		return nil, err
	}
	source, err := collateral.New(collateral.Config{KDS: s.AMDKDS, PCS: s.IntelPCS, Dir: kept, Now: s.Now, Logger: s.Logger})
	if err != nil {
		return nil, err
	}
	cfg := tsm.Config{
		Type: kind, Client: m.Reports, Guest: m.Guest, VMPL: s.SEVVMPL, BootLog: filepath.Join(m.Root, tsm.CCEL),
		Endorser: source, StateDir: state, MemoryDir: memory,
	}
	if cfg.Client == nil && found.ReportDir {
		cfg.Client = tsm.NewClient(m.Root)
	}
	if kind == attest.TDX {
		if cfg.Register, err = tsm.OpenRegister(filepath.Join(m.Root, tsm.RTMR3)); err != nil {
			return nil, err
		}
	}
	if kind == attest.SEVSNP && cfg.Guest == nil && found.SEVGuest {
		if cfg.Guest, err = tsm.OpenGuest(filepath.Join(m.Root, tsm.SEVGuestFile)); err != nil {
			return nil, err
		}
	}
	d, err := tsm.Open(cfg)
	if err != nil {
		if cfg.Guest != nil {
			_ = cfg.Guest.Close() // the first error is the one that matters
		}
		return nil, err
	}
	return &opened{Device: d, run: source.Run, close: d.Close}, nil
}

// memoryDir is a directory of this data directory that a reboot empties.
func (s settings) memoryDir() (string, error) {
	run := filepath.Join(s.machine().Root, runDir)
	if err := os.MkdirAll(run, 0o711); err != nil {
		return "", fmt.Errorf("making %s: %w", run, err)
	}
	sum := sha256.Sum256([]byte(s.DataDir))
	return privateDir(run, "tee-"+hex.EncodeToString(sum[:8]))
}
