//go:build unix

package publisherd

import (
	"context"

	"apocryph/attest/device/tpm"
	"apocryph/p2p/mutual"
)

func openTPM(ctx context.Context, path, dir string) (mutual.Device, func() error, error) {
	d, err := tpm.Open(ctx, tpm.Config{Path: path, StateDir: dir, LockDir: dir})
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}
