package vault

import (
	"encoding/binary"
	"errors"
	"io"
)

// The superblock's place and what of it is needed here: Documentation/
// filesystems/ext4/super.rst.
const (
	superOffset = 1024
	superSize   = 1024

	superMagic      = 0xef53
	incompatEncrypt = 0x10000
	incompat64bit   = 0x80
)

var errSuper = errors.New("the image has no file system of this kind")

// ext4Size reads how large the file system is, in bytes. A device must be asked
// for one that is mounted: it shares the kernel's buffers. The disk's owner
// writes what is read.
func ext4Size(r io.ReaderAt) (int64, error) {
	var b [superSize]byte
	if _, err := r.ReadAt(b[:], superOffset); err != nil {
		return 0, err
	}
	return parseSuper(b[:])
}

// parseSuper takes superSize bytes.
func parseSuper(b []byte) (int64, error) {
	le := binary.LittleEndian
	incompat := le.Uint32(b[0x60:])
	// 2 is blockSize: 1024 << 2.
	if le.Uint16(b[0x38:]) != superMagic || le.Uint32(b[0x18:]) != 2 || incompat&incompatEncrypt == 0 || incompat&incompat64bit == 0 {
		return 0, errSuper
	}
	blocks := uint64(le.Uint32(b[0x150:]))<<32 | uint64(le.Uint32(b[0x4:]))
	if blocks > maxSize/blockSize {
		return 0, errSuper
	}
	return int64(blocks) * blockSize, nil
}
