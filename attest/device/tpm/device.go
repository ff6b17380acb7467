package tpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"apocryph/attest"
	"apocryph/attest/tpmtemplate"
	"apocryph/proto/status"
)

// flushTime bounds freeing an object after the caller has given up.
const flushTime = 5 * time.Second

// Config says which TPM to use.
type Config struct {
	// Path is a device file such as /dev/tpmrm0, which has a resource manager, or
	// "unix:SOCKET" of an emulator.
	Path string
	// StateDir holds the sealed data key. It must exist.
	StateDir string
	// LockDir is where the lock file goes. Empty means beside the socket; a
	// device file is then locked itself.
	LockDir string
	// EKChain are certificates above the endorsement key's own, DER, nearest
	// first, where the TPM does not store them. May be empty.
	EKChain [][]byte
	// BootLog is the file of the firmware's event log, such as [BootLog] for the
	// machine's own TPM; empty or absent means that quotes come without one.
	BootLog string
}

// Device is one TPM. It is safe for concurrent use: commands wait for each other.
type Device struct {
	cfg  Config
	send exchange
	lock *os.File
	file *os.File
	// bootLog stays the same until the next boot.
	bootLog []byte
	// turn holds one token; who has it may use the TPM and the fields below.
	turn chan struct{}

	closed bool
	id     *identity
	ak     *loadedKey
	ek     *loadedKey
}

// loadedKey is an object in the TPM. Persistent ones are never flushed.
type loadedKey struct {
	handle     tpm2.TPMHandle
	name       tpm2.TPM2BName
	public     []byte
	persistent bool
}

// Open opens and locks a TPM. Another provider's lock is conflict, reason
// "tpm.in_use"; a TPM that is not there or cannot be used is unavailable,
// reason "tpm.open".
func Open(ctx context.Context, cfg Config) (*Device, error) {
	if cfg.Path == "" || cfg.StateDir == "" {
		return nil, errors.New("a tpm device needs a path and a state directory")
	}
	d := &Device{cfg: cfg, turn: make(chan struct{}, 1)}
	var err error
	if d.bootLog, err = readBootLog(cfg.BootLog); err != nil {
		return nil, fmt.Errorf("reading the boot log: %w", err)
	}
	socket, isSocket := strings.CutPrefix(cfg.Path, "unix:")
	if err := d.open(socket, isSocket); err != nil {
		return nil, err
	}
	if !isSocket {
		return d, nil
	}
	if err := d.do(ctx, "starting the TPM", startRaw); err != nil {
		return nil, errors.Join(err, d.closeFiles())
	}
	return d, nil
}

func (d *Device) open(path string, isSocket bool) error {
	var err error
	if !isSocket {
		if d.file, err = openBlocking(path); err != nil {
			return unusable(err)
		}
		d.send = patient(fileExchange(d.file))
	} else {
		info, err := os.Stat(path)
		if err != nil {
			return unusable(err)
		}
		if info.Mode()&os.ModeSocket == 0 {
			return unusable(fmt.Errorf("%s is not a socket", path))
		}
		d.send = patient(socketExchange(path))
	}
	if d.lock, err = lockTPM(path, d.cfg.LockDir, d.file); err != nil {
		return errors.Join(err, d.closeFiles())
	}
	return nil
}

func unusable(cause error) error {
	return status.Wrap(cause, status.Unavailable, "tpm.open", "the TPM cannot be opened").
		WithHint("name its device file, which this user must be able to write, or unix:SOCKET of an emulator")
}

// Type is [attest.TPM2].
func (d *Device) Type() attest.Type { return attest.TPM2 }

// Close frees what is loaded in the TPM and gives up the lock. Calls that wait
// for the TPM fail.
func (d *Device) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	err := d.do(ctx, "closing the TPM", func(t transport.TPM) error {
		d.closed = true
		return d.unload(t)
	})
	if errors.Is(err, errClosed) {
		return nil
	}
	return errors.Join(err, d.closeFiles())
}

func (d *Device) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{d.lock, d.file} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	// A device file may be its own lock.
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, os.ErrClosed) })...)
}

var errClosed = status.New(status.Unavailable, "tpm.closed", "the TPM was closed")

// do waits for the TPM and runs fn with it. What fn returns is classified: a
// status and a context's error pass, anything else is unavailable, reason
// "tpm.failed", with the TPM's own text as private cause.
func (d *Device) do(ctx context.Context, doing string, fn func(transport.TPM) error) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s: waiting for the TPM: %w", doing, ctx.Err())
	}
	defer func() { <-d.turn }()
	if d.closed {
		return errClosed
	}
	err := fn(sendFunc(func(command []byte) ([]byte, error) {
		if !isFlush(command) {
			return d.send(ctx, command)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		return d.send(ctx, command)
	}))
	var s *status.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, errors.Join(ctx.Err(), err))
	case errors.As(err, &s):
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, status.Wrap(err, status.Unavailable, "tpm.failed", "the TPM did not do it"))
}

// sendFunc is a transport.TPM.
type sendFunc func([]byte) ([]byte, error)

// Send implements transport.TPM.
func (f sendFunc) Send(command []byte) ([]byte, error) { return f(command) }

// startRaw prepares a TPM that no kernel has: it starts it, where the firmware
// has not, and flushes the objects and sessions of a process that was killed.
// Nobody else uses it, since this process holds the lock.
func startRaw(t transport.TPM) error {
	_, err := tpm2.Startup{StartupType: tpm2.TPMSUClear}.Execute(t)
	if err != nil && !errors.Is(err, tpm2.TPMRCInitialize) {
		return err
	}
	for _, first := range []uint32{firstTransient, firstLoadedSession} {
		handles, err := listHandles(t, first)
		if err != nil {
			return err
		}
		for _, h := range handles {
			if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// First handles of their kinds for TPM_CAP_HANDLES (TPM 2.0 Part 2, 7.2).
const (
	firstLoadedSession = 0x02000000
	firstTransient     = 0x80000000
	maxHandles         = 64
)

// listHandles returns the handles of first's kind, from first on.
func listHandles(t transport.TPM, first uint32) ([]tpm2.TPMHandle, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: maxHandles}.Execute(t)
	if err != nil {
		return nil, err
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, err
	}
	return list.Handle, nil
}

// unload frees the keys that stay loaded between calls.
func (d *Device) unload(t transport.TPM) error {
	var errs []error
	for _, key := range []**loadedKey{&d.ak, &d.ek} {
		if k := *key; k != nil && !k.persistent {
			_, err := tpm2.FlushContext{FlushHandle: k.handle}.Execute(t)
			errs = append(errs, err)
		}
		*key = nil
	}
	return errors.Join(errs...)
}

// quotePCRs are the registers of every quote.
func quotePCRs() []uint32 { return tpmtemplate.QuotePCRs() }
