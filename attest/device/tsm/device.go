package tsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-configfs-tsm/configfs/configfsi"

	"apocryph/attest"
	"apocryph/proto/status"
)

const (
	// maxWaiting bounds those who wait for a report, against publishers who ask
	// faster than a platform answers; each waits for all before it.
	maxWaiting = 64
	// busyRetry is what those beyond it are told: a TDX quote takes tens of
	// milliseconds, some hosts take a second.
	busyRetry = 5 * time.Second
	// maxVMPL is the least privileged level of an SEV-SNP guest.
	maxVMPL = 3
)

// Client is the access to configfs, which the library can fake.
type Client = configfsi.Client

// Endorser completes evidence with what vendors publish about the hardware.
type Endorser interface {
	Endorse(ctx context.Context, e attest.Evidence) (attest.Evidence, error)
}

// Config says which platform it is and how it is asked.
type Config struct {
	// Type is [attest.SEVSNP] or [attest.TDX].
	Type attest.Type
	// Client reads configfs-tsm; nil where a machine has none.
	Client Client
	// Guest is SEV-SNP's device file; nil where a machine has none. Without it
	// there is no [Device.DataKey] on SEV-SNP. The device closes it.
	Guest Guest
	// VMPL is the privilege level that SEV-SNP reports name, 0 to 3.
	VMPL uint
	// BootLog is the file of the firmware's event log, for TDX: [CCEL]. Empty or
	// absent means none.
	BootLog string
	// Register is the pod log's register, for TDX; nil means that there is none.
	Register Measurement
	// Endorser completes each piece of evidence. It must be set.
	Endorser Endorser
	// StateDir keeps the wrapped data key of SEV-SNP. It must exist.
	StateDir string
	// MemoryDir keeps the data key of TDX until the machine restarts. A directory
	// that is not in memory is not used; the key then lasts as long as the process.
	MemoryDir string
}

// Device is the platform below this machine. It is safe for concurrent use.
type Device struct {
	cfg     Config
	bootLog []byte
	// turn holds one token; who has it may ask the platform.
	turn chan struct{}

	mu      sync.Mutex // guards waiting, closed and dataKey
	waiting int
	closed  bool
	dataKey []byte
	work    sync.WaitGroup
}

// Open checks a configuration and reads the boot log. Nothing is asked of the
// platform yet.
func Open(cfg Config) (*Device, error) {
	switch {
	case cfg.Type != attest.SEVSNP && cfg.Type != attest.TDX:
		return nil, fmt.Errorf("opening the platform's device: got type %q, want sev-snp or tdx", cfg.Type)
	case cfg.Endorser == nil || cfg.StateDir == "":
		return nil, errors.New("opening the platform's device: an endorser and a state directory are needed")
	case cfg.VMPL > maxVMPL:
		return nil, status.New(status.InvalidArgument, "tsm.vmpl", "privilege level: got %d, want 0 to %d", cfg.VMPL, maxVMPL)
	case cfg.Client == nil && (cfg.Guest == nil || cfg.Type == attest.TDX):
		return nil, status.New(status.Unavailable, "tsm.absent", "this machine has no device that makes %s evidence", cfg.Type).
			WithHint("`provider doctor` says what was looked for; load the guest driver (sev-guest or tdx-guest) and mount configfs")
	}
	d := &Device{cfg: cfg, turn: make(chan struct{}, 1)}
	if cfg.Type == attest.TDX && cfg.BootLog != "" {
		var err error
		if d.bootLog, err = readBootLog(cfg.BootLog); err != nil {
			return nil, fmt.Errorf("reading the boot log: %w", err)
		}
	}
	return d, nil
}

// Type is that of the configuration.
func (d *Device) Type() attest.Type { return d.cfg.Type }

// Attest returns a report or quote over the claims, with its endorsements. A
// platform that does not make one is unavailable, reason "tsm.failed"; one with
// too many callers resource_exhausted, "tsm.busy".
func (d *Device) Attest(ctx context.Context, claims []byte) (attest.Evidence, error) {
	e := attest.Evidence{Type: d.cfg.Type}
	binding := attest.ReportData(claims)
	var got raw
	err := d.do(ctx, func() (err error) {
		got, err = d.ask(binding)
		return err
	})
	if err != nil {
		return e, fmt.Errorf("asking the platform for a report: %w", err)
	}
	var named []byte
	if d.cfg.Type == attest.TDX {
		e.Report, named, err = cutQuote(got.report)
		e.BootLog = d.bootLog
	} else {
		e.Report, named, err = cutReport(got.report)
		e.Certificates = chainOf(got.report, got.table)
	}
	if err != nil {
		return e, status.Wrap(err, status.Unavailable, "tsm.malformed", "the platform gave no %s report", d.cfg.Type)
	}
	if !bytes.Equal(named, binding[:]) {
		return e, status.New(status.Unavailable, "tsm.malformed", "the platform gave a report for somebody else")
	}
	e, err = d.cfg.Endorser.Endorse(ctx, e)
	if err != nil {
		return e, fmt.Errorf("endorsing the report: %w", err)
	}
	return e, nil
}

// Close waits for what the platform is still doing. Calls that come later fail.
func (d *Device) Close() error {
	d.mu.Lock()
	again := d.closed
	d.closed = true
	d.mu.Unlock()
	d.work.Wait()
	if again || d.cfg.Guest == nil {
		return nil
	}
	return d.cfg.Guest.Close()
}

// do waits for its turn and runs fn in a goroutine, which is left behind when
// ctx ends. What fn sets may be read only where do returns nil.
func (d *Device) do(ctx context.Context, fn func() error) error {
	if err := d.enter(); err != nil {
		return err
	}
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		d.leave()
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		defer d.leave()
		defer func() { <-d.turn }()
		done <- guarded(fn)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Device) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return status.New(status.Unavailable, "tsm.closed", "the platform's device was closed")
	}
	if d.waiting >= maxWaiting {
		return status.New(status.ResourceExhausted, "tsm.busy", "%d callers wait for evidence already", d.waiting).WithRetryAfter(busyRetry)
	}
	d.waiting++
	d.work.Add(1)
	return nil
}

func (d *Device) leave() {
	d.mu.Lock()
	d.waiting--
	d.mu.Unlock()
	d.work.Done()
}

// guarded turns a panic of the libraries, which parse what the host sends, into
// an error.
func guarded(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = status.Wrap(fmt.Errorf("recovered: %v", r), status.Internal, "tsm.failed", "asking the platform panicked")
		}
	}()
	err = fn()
	var s *status.Error
	if err == nil || errors.As(err, &s) {
		return err
	}
	return status.Wrap(err, status.Unavailable, "tsm.failed", "the platform did not do it")
}
