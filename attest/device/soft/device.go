package soft

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-sev-guest/abi"

	"apocryph/attest"
	"apocryph/attest/device/keyfile"
	"apocryph/proto/status"
)

const (
	deviceFile = "soft-device.pem"
	keyFile    = "soft-datakey"
	keySize    = 32
)

// Device signs SNP-shaped reports with a key that lies in a file.
type Device struct {
	dir         string
	measurement [sha512.Size384]byte
	identity    *identity
}

// Open opens the device in dir, which must exist, and makes it at the first
// time. The launch measurement is the SHA-384 of the file at path binary. The
// certificates start to be valid one hour before now and last for 7 years.
//
// A device whose files others can read is permission_denied, reason
// "keyfile.mode"; one that is damaged is internal, reason "soft.damaged".
func Open(dir, binary string, now func() time.Time) (*Device, error) {
	if now == nil {
		return nil, errors.New("a soft device needs a clock")
	}
	d := &Device{dir: dir}
	f, err := os.Open(binary)
	if err != nil {
		return nil, fmt.Errorf("measuring the program: %w", err)
	}
	defer f.Close()
	h := sha512.New384()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("measuring the program: %w", err)
	}
	d.measurement = [sha512.Size384]byte(h.Sum(nil))
	text, err := keyfile.ReadOrCreate(filepath.Join(dir, deviceFile), func() ([]byte, error) { return newIdentity(now()) })
	if err != nil {
		return nil, fmt.Errorf("opening soft device: %w", err)
	}
	if d.identity, err = parseIdentity(text); err != nil {
		return nil, status.Wrap(err, status.Internal, "soft.damaged", "the soft device's file %s cannot be read", deviceFile).
			WithHint("remove it to make a new device; policies that name its CA must then name the new one")
	}
	return d, nil
}

// Type is [attest.Soft].
func (d *Device) Type() attest.Type { return attest.Soft }

// CAFingerprint is the SHA-256 of the root certificate: what a policy names.
func (d *Device) CAFingerprint() [32]byte { return sha256.Sum256(d.identity.chain[2]) }

// Measurement is what reports say was launched, 48 bytes.
func (d *Device) Measurement() []byte { return d.measurement[:] }

// DataKey returns the key for data at rest, 32 bytes. It lies in a file: who
// can read the directory has it.
func (d *Device) DataKey(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := keyfile.ReadOrCreate(filepath.Join(d.dir, keyFile), func() ([]byte, error) {
		key := make([]byte, keySize)
		_, err := rand.Read(key)
		return key, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading data key: %w", err)
	}
	if len(key) != keySize {
		return nil, status.New(status.Internal, "soft.damaged", "the data key in %s has %d bytes, want %d", keyFile, len(key), keySize)
	}
	return key, nil
}

// Attest returns a report over the claims with the chain: VCEK, ASK, root.
func (d *Device) Attest(ctx context.Context, claims []byte) (attest.Evidence, error) {
	if err := ctx.Err(); err != nil {
		return attest.Evidence{}, err
	}
	report, err := d.report(attest.ReportData(claims))
	if err != nil {
		return attest.Evidence{}, fmt.Errorf("making report: %w", err)
	}
	return attest.Evidence{Type: attest.Soft, Report: report, Certificates: d.identity.chain}, nil
}

// Offsets and values in an ATTESTATION_REPORT (56860, table 23).
const (
	offVersion      = 0x00
	offPolicy       = 0x08
	offSignAlgo     = 0x34
	offCurrentTCB   = 0x38
	offReportData   = 0x50
	offMeasurement  = 0x90
	offReportID     = 0x140
	offReportedTCB  = 0x180
	offFamily       = 0x188
	offModel        = 0x189
	offStepping     = 0x18A
	offChipID       = 0x1A0
	offCommittedTCB = 0x1E0
	offLaunchTCB    = 0x1F0

	reportIDSize = 32
	// guestPolicy allows SMT; bit 17 is always one. No debugging, no migration.
	guestPolicy = 1<<16 | 1<<17
)

func (d *Device) report(binding [64]byte) ([]byte, error) {
	r := make([]byte, abi.ReportSize)
	le := binary.LittleEndian
	le.PutUint32(r[offVersion:], abi.ReportVersion3)
	le.PutUint64(r[offPolicy:], guestPolicy)
	le.PutUint32(r[offSignAlgo:], abi.SignEcdsaP384Sha384)
	for _, at := range []int{offCurrentTCB, offReportedTCB, offCommittedTCB, offLaunchTCB} {
		le.PutUint64(r[at:], uint64(d.identity.tcb))
	}
	copy(r[offReportData:], binding[:])
	copy(r[offMeasurement:], d.measurement[:])
	if _, err := rand.Read(r[offReportID : offReportID+reportIDSize]); err != nil {
		return nil, err
	}
	r[offFamily], r[offModel], r[offStepping] = milanFamily, milanModel, milanStepping
	copy(r[offChipID:], d.identity.chipID)
	digest := sha512.Sum384(abi.SignedComponent(r))
	sigR, sigS, err := ecdsa.Sign(rand.Reader, d.identity.key, digest[:])
	if err != nil {
		return nil, err
	}
	return r, abi.SetSignature(sigR, sigS, r)
}
