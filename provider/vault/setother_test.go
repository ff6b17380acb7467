package vault

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setOther sets a policy that is not ours: names are padded to 4 bytes.
func setOther(dir *os.File, id keyID) error {
	p := wantPolicy(id)
	p.Flags = unix.FSCRYPT_POLICY_FLAGS_PAD_4
	return ioctl(dir, unix.FS_IOC_SET_ENCRYPTION_POLICY, unsafe.Pointer(&p))
}
