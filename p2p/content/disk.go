package content

import (
	"errors"
	"syscall"

	"apocryph/proto/status"
)

// diskError classifies an error of the local disk.
func diskError(err error) error {
	var e *status.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return status.Wrap(err, status.ResourceExhausted, "content.disk_full", "the disk is full").
			WithHint("free space below the data directory and try again")
	}
	return status.Wrap(err, status.Internal, "content.disk", "cannot write content")
}
