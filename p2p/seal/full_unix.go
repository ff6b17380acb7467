//go:build !windows

package seal

import (
	"errors"
	"syscall"
)

// isDiskFull reports a full file system or an exhausted quota.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
