package vault

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

const (
	// masterKeySize is the largest key of fscrypt, which every kernel accepts
	// for AES-256-XTS, in bytes.
	masterKeySize = unix.FSCRYPT_MAX_KEY_SIZE
	// keyIDSize is how long the name of a key is, in bytes.
	keyIDSize = unix.FSCRYPT_KEY_IDENTIFIER_SIZE
)

// keyID is the kernel's public name of a master key: a one-way function of it.
type keyID [keyIDSize]byte

// keyIDOf computes the name that the kernel gives to a key: HKDF-SHA512 with
// HKDF_CONTEXT_KEY_IDENTIFIER (fs/crypto/fscrypt_private.h).
func keyIDOf(key []byte) (keyID, error) {
	id, err := hkdf.Key(sha512.New, key, nil, "fscrypt\x00\x01", keyIDSize)
	if err != nil {
		return keyID{}, err
	}
	return keyID(id), nil
}

func ioctl(f *os.File, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// addKey gives a key to the file system of dir and returns its name.
func addKey(dir *os.File, key []byte) (keyID, error) {
	head := int(unsafe.Sizeof(unix.FscryptAddKeyArg{}))
	// On the heap, which is not moved: there is one copy, and it is cleared.
	buf := make([]byte, head+len(key))
	defer clear(buf)
	arg := (*unix.FscryptAddKeyArg)(unsafe.Pointer(&buf[0]))
	arg.Key_spec.Type = unix.FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER
	arg.Raw_size = uint32(len(key))
	copy(buf[head:], key)
	if err := ioctl(dir, unix.FS_IOC_ADD_ENCRYPTION_KEY, unsafe.Pointer(arg)); err != nil {
		return keyID{}, unsupported(err, "giving the kernel a key")
	}
	return keyID(arg.Key_spec.U[:keyIDSize]), nil
}

// wantPolicy is the policy of every encrypted directory.
func wantPolicy(id keyID) unix.FscryptPolicyV2 {
	return unix.FscryptPolicyV2{
		Version:                   unix.FSCRYPT_POLICY_V2,
		Contents_encryption_mode:  unix.FSCRYPT_MODE_AES_256_XTS,
		Filenames_encryption_mode: unix.FSCRYPT_MODE_AES_256_CTS,
		Flags:                     unix.FSCRYPT_POLICY_FLAGS_PAD_32,
		Master_key_identifier:     id,
	}
}

// setPolicy encrypts what will be made in dir, which is empty.
func setPolicy(dir *os.File, id keyID) error {
	p := wantPolicy(id)
	if err := ioctl(dir, unix.FS_IOC_SET_ENCRYPTION_POLICY, unsafe.Pointer(&p)); err != nil {
		return unsupported(err, "setting the encryption policy")
	}
	return tryCiphers(dir)
}

// tryCiphers makes a file without a name, which needs both ciphers: a kernel
// without them says so only then (ENOPKG).
func tryCiphers(dir *os.File) error {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return unsupported(err, "making an encrypted file")
	}
	return unix.Close(fd)
}

var (
	errNoPolicy    = errors.New("the directory is not encrypted")
	errOtherPolicy = errors.New("the directory is encrypted in another way")
)

// policyOf returns the name of the key of an encrypted directory. Any policy
// but that of wantPolicy is refused.
func policyOf(dir *os.File) (keyID, error) {
	arg := unix.FscryptGetPolicyExArg{Size: uint64(len(unix.FscryptGetPolicyExArg{}.Policy))}
	if err := ioctl(dir, unix.FS_IOC_GET_ENCRYPTION_POLICY_EX, unsafe.Pointer(&arg)); errors.Is(err, unix.ENODATA) {
		return keyID{}, errNoPolicy
	} else if err != nil {
		return keyID{}, unsupported(err, "reading the encryption policy")
	}
	got := *(*unix.FscryptPolicyV2)(unsafe.Pointer(&arg.Policy))
	if arg.Size != uint64(unsafe.Sizeof(got)) || got != wantPolicy(got.Master_key_identifier) {
		return keyID{}, errOtherPolicy
	}
	return got.Master_key_identifier, nil
}

// keyPresent asks whether the file system of dir has a key.
func keyPresent(dir *os.File, id keyID) (bool, error) {
	arg := unix.FscryptGetKeyStatusArg{Key_spec: specifier(id)}
	if err := ioctl(dir, unix.FS_IOC_GET_ENCRYPTION_KEY_STATUS, unsafe.Pointer(&arg)); err != nil {
		return false, fmt.Errorf("asking for the key: %w", err)
	}
	return arg.Status == unix.FSCRYPT_KEY_STATUS_PRESENT, nil
}

// dropKey takes its key from an encrypted directory. Whether that worked does
// not matter: the key goes with the last user of the file system anyway.
func dropKey(path string) {
	dir, err := openDirectory(path)
	if err != nil {
		return
	}
	defer dir.Close()
	id, err := policyOf(dir)
	if err != nil {
		return
	}
	arg := unix.FscryptRemoveKeyArg{Key_spec: specifier(id)}
	_ = ioctl(dir, unix.FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS, unsafe.Pointer(&arg))
}

func specifier(id keyID) unix.FscryptKeySpecifier {
	s := unix.FscryptKeySpecifier{Type: unix.FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER}
	copy(s.U[:], id[:])
	return s
}

// sameKey reports whether key is the one that id names.
func sameKey(key []byte, id keyID) (bool, error) {
	got, err := keyIDOf(key)
	return bytes.Equal(got[:], id[:]), err
}

// unsupported classifies what a kernel without encryption of ext4 answers.
func unsupported(err error, what string) error {
	for _, no := range []error{unix.ENOTTY, unix.EOPNOTSUPP, unix.ENOSYS, unix.ENOPKG} {
		if errors.Is(err, no) {
			return status.Wrap(err, status.Unimplemented, "vault.encryption", "the kernel cannot encrypt ext4: %s", what).
				WithHint("use a kernel with CONFIG_FS_ENCRYPTION, and AES in XTS and CTS mode")
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
