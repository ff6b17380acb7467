package publisherd

import (
	"context"

	"apocryph/p2p/mutual"
	"apocryph/proto/status"
)

func openTPM(context.Context, string, string) (mutual.Device, func() error, error) {
	return nil, nil, status.New(status.Unimplemented, "publisher.tee", "a publisher on Windows cannot use its TPM").
		WithHint("run the publisher on Linux, or --tee soft where a provider accepts it")
}
