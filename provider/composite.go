package provider

import (
	"context"

	"golang.org/x/sync/errgroup"

	"apocryph/attest"
	"apocryph/proto/status"
)

// named is a TPM whose attestation key the claims name.
type named interface {
	Identity(ctx context.Context) (attest.TPMIdentity, error)
	AKName(ctx context.Context) ([]byte, error)
}

// tpmOf is a device's TPM, or the device that is one; nil where there is none.
func tpmOf(d Device) named {
	switch d := d.(type) {
	case Bound:
		return d
	case Activator:
		return d
	}
	return nil
}

// pieces is a device's evidence over the claims: its own and, where a TPM is bound
// to it, that one's quote behind it.
func pieces(ctx context.Context, d Device, claims []byte) ([]attest.Evidence, error) {
	tpm, ok := d.(Bound)
	if !ok {
		e, err := d.Attest(ctx, claims)
		return []attest.Evidence{e}, err
	}
	out := make([]attest.Evidence, 2)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		out[0], err = d.Attest(ctx, claims)
		return err
	})
	group.Go(func() (err error) {
		out[1], err = tpm.Quote(ctx, claims)
		return err
	})
	return out, group.Wait()
}

// activated is the secret of an activation.
func activated(ctx context.Context, d Device, a attest.Activation) ([]byte, error) {
	tpm, ok := d.(Activator)
	if !ok {
		return nil, status.New(status.InvalidArgument, "attest.activation", "credential_blob: got an activation, want none: a report names the attestation key").
			WithHint("answer a bound identity with an empty activation")
	}
	return tpm.Activate(ctx, a)
}
