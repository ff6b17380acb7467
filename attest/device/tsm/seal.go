package tsm

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-sev-guest/client"
	"golang.org/x/sys/unix"

	"apocryph/attest"
	"apocryph/attest/device/keyfile"
	"apocryph/proto/status"
)

const (
	keyFileSNP = "datakey.snp"
	keyFileTDX = "datakey.tdx"
	keySize    = 32
	// sealTag starts a wrapped key of this format: the tag, a nonce, then the
	// AES-256-GCM ciphertext with the tag as additional data.
	sealTag = "apocryph/snp-seal/1\x00"
)

// DataKey returns the key for data at rest, 32 bytes. On SEV-SNP it opens in
// guests of the same launch measurement and guest policy alone; others get a
// key of their own, and the first one stays for the guest that it belongs to.
// A machine without the guest's device file is unavailable, reason
// "tsm.no_derived_key". On TDX the key is new at each boot.
func (d *Device) DataKey(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	have := d.dataKey
	d.mu.Unlock()
	if have != nil {
		return append([]byte(nil), have...), nil
	}
	var key []byte
	var err error
	if d.cfg.Type == attest.TDX {
		key, err = d.bootKey()
	} else {
		key, err = d.wrappedKey(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading data key: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dataKey == nil {
		d.dataKey = key
	}
	return append([]byte(nil), d.dataKey...), nil
}

// bootKey keeps the key where only this boot finds it again: a provider that is
// started again within it has to open what it stored.
func (d *Device) bootKey() ([]byte, error) {
	if d.cfg.MemoryDir == "" || !inMemory(d.cfg.MemoryDir) {
		return newKey()
	}
	key, err := keyfile.ReadOrCreate(filepath.Join(d.cfg.MemoryDir, keyFileTDX), newKey)
	if err == nil && len(key) != keySize {
		return nil, status.New(status.Internal, "tsm.damaged", "the data key of this boot has %d bytes, want %d", len(key), keySize).
			WithHint("restart the machine, or remove %s", filepath.Join(d.cfg.MemoryDir, keyFileTDX))
	}
	return key, err
}

func newKey() ([]byte, error) {
	key := make([]byte, keySize)
	_, err := rand.Read(key)
	return key, err
}

// inMemory reports whether a directory is on a file system that no disk has.
func inMemory(dir string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false
	}
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC
}

func (d *Device) wrappedKey(ctx context.Context) ([]byte, error) {
	if d.cfg.Guest == nil {
		return nil, status.New(status.Unavailable, "tsm.no_derived_key", "the SEV-SNP guest device is missing: no key can be derived for data at rest").
			WithHint("load the sev-guest driver, which makes /dev/sev-guest; without it nothing could be kept over a restart")
	}
	aead, err := d.wrapper(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.cfg.StateDir); err != nil {
		return nil, err
	}
	return keyfile.Ring{Dir: d.cfg.StateDir, Name: keyFileSNP}.Open(
		func() (blob, key []byte, err error) {
			if key, err = newKey(); err != nil {
				return nil, nil, err
			}
			nonce := make([]byte, aead.NonceSize())
			if _, err = rand.Read(nonce); err != nil {
				return nil, nil, err
			}
			blob = append([]byte(sealTag), nonce...)
			return aead.Seal(blob, nonce, key, []byte(sealTag)), key, nil
		},
		func(blob []byte) ([]byte, error) {
			front := len(sealTag) + aead.NonceSize()
			if len(blob) < front || string(blob[:len(sealTag)]) != sealTag {
				return nil, keyfile.ErrOther
			}
			key, err := aead.Open(nil, blob[len(sealTag):front], blob[front:], []byte(sealTag))
			if err != nil || len(key) != keySize {
				return nil, keyfile.ErrOther
			}
			return key, nil
		})
}

// wrapper asks the processor for the key of this measurement and policy.
func (d *Device) wrapper(ctx context.Context) (cipher.AEAD, error) {
	var derived []byte
	err := d.do(ctx, func() error {
		// The chip's key is the root: the other one, VMRK, is a migration agent's to
		// give, and guests without one have none that outlives them (56860, 7.2). Who
		// starts the same software on the same chip gets the same key: that software
		// is what the data trusts.
		got, err := client.GetDerivedKeyAcknowledgingItsLimitations(d.cfg.Guest, &client.SnpDerivedKeyReq{
			UseVCEK: true, GuestFieldSelect: client.GuestFieldSelect{Measurement: true, GuestPolicy: true}, Vmpl: uint32(d.cfg.VMPL),
		})
		if err != nil {
			return err
		}
		derived = got.Data[:]
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("deriving the wrapping key: %w", err)
	}
	if len(derived) != keySize || allZero(derived) {
		return nil, errors.New("deriving the wrapping key: the processor gave none")
	}
	key, err := hkdf.Expand(sha256.New, derived, sealTag, keySize)
	clear(derived)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
