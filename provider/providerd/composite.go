package providerd

import (
	"context"
	"errors"
	"fmt"

	"apocryph/attest"
	"apocryph/attest/device/tpm"
	"apocryph/provider"
)

const (
	// AutoTPM is the word for the machine's own: [DefaultTPM].
	AutoTPM = "auto"
	// DefaultTPM is the kernel's TPM, with its resource manager.
	DefaultTPM = "/dev/tpmrm0"
	// NoTPM is the word for using none.
	NoTPM = "none"
)

// bound is a device whose reports name the attestation key of a TPM beside it.
type bound struct {
	provider.Device
	tpm *tpm.Device
	// seals means that the TPM keeps the data key.
	seals bool
}

// Identity implements [provider.Bound].
func (b *bound) Identity(ctx context.Context) (attest.TPMIdentity, error) { return b.tpm.Bound(ctx) }

// AKName implements [provider.Bound].
func (b *bound) AKName(ctx context.Context) ([]byte, error) { return b.tpm.AKName(ctx) }

// Quote implements [provider.Bound].
func (b *bound) Quote(ctx context.Context, claims []byte) (attest.Evidence, error) {
	return b.tpm.Attest(ctx, claims)
}

// BootEpoch is the TPM's, which counts resets.
func (b *bound) BootEpoch(ctx context.Context) ([]byte, error) { return b.tpm.BootEpoch(ctx) }

// DataKey is the TPM's or the report's device's.
func (b *bound) DataKey(ctx context.Context) ([]byte, error) {
	if b.seals {
		return b.tpm.DataKey(ctx)
	}
	return b.Device.DataKey(ctx)
}

// tpmPath is where the TPM is.
func (c Config) tpmPath() string {
	if c.TPM == "" || c.TPM == AutoTPM {
		return DefaultTPM
	}
	return c.TPM
}

// namesTPM reports whether somebody named the TPM, rather than taking what is there.
func (c Config) namesTPM() bool { return c.TPM != "" && c.TPM != AutoTPM && c.TPM != NoTPM }

// binds reports whether a TPM belongs beside the reports of a kind. One that
// nobody named does where a confidential machine has it: a developer's own is nothing that
// a software device should take.
func (c Config) binds(kind attest.Type) bool {
	return c.namesTPM() || kind != attest.Soft && hasTPM(c.tpmPath())
}

// sealsWithTPM reports whether the TPM beside a report keeps the data key. Most
// virtual TPMs are the hypervisor's, who reads what they seal; so it has to be
// named, by who knows it to be inside the guest. SEV-SNP derives a key of its own.
func (c Config) sealsWithTPM(kind attest.Type) bool { return c.namesTPM() && kind != attest.SEVSNP }

// bind puts the TPM beside a device of reports. One that was named has to work; any
// other may be another program's or have no keys.
func (s settings) bind(ctx context.Context, d *opened, err error) (*opened, error) {
	if err != nil || !s.binds(d.Type()) {
		return d, err
	}
	t, err := s.tpm(ctx)
	if err == nil {
		if _, err = t.Bound(ctx); err != nil {
			err = errors.Join(err, t.Close())
		}
	}
	if err != nil && s.namesTPM() {
		return nil, errors.Join(fmt.Errorf("opening the TPM beside the report: %w", err), d.close())
	}
	if err != nil {
		s.Logger.Warn("the TPM is not used: evidence is the report alone", "err", err)
		return d, nil
	}
	report := d.close
	d.close = func() error { return errors.Join(t.Close(), report()) }
	d.Device = &bound{Device: d.Device, tpm: t, seals: s.sealsWithTPM(d.Type())}
	return d, nil
}
