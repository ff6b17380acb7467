package tpm

import (
	"context"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"apocryph/proto/status"
)

// podLogPCR is the register of the pod log: neither the firmware's nor one that
// can be reset without a reboot (16 and 23).
const podLogPCR = 14

// maxBanks bounds the banks of a TPM; the registry of algorithms has fewer hashes.
const maxBanks = 16

// Register is register 14, into which the provider extends its pod log.
type Register struct{ d *Device }

// Register returns the pod log's register.
func (d *Device) Register() *Register { return &Register{d} }

// Name is "pcr14", as claims write it.
func (r *Register) Name() string { return fmt.Sprintf("pcr%d", podLogPCR) }

// Extend extends every active bank in one command, so that either all or none
// of them have it: SHA-256 and SHA-384 by their digest, any other bank by its
// own hash of the SHA-384 digest, so that none is left for somebody else to
// fill. After an error the register may have been extended all the same:
// [Register.Values] tells. A TPM without the SHA-256 bank is unavailable,
// reason "tpm.no_sha256_bank".
func (r *Register) Extend(ctx context.Context, sha256 [32]byte, sha384 [48]byte) error {
	return r.d.do(ctx, "extending the pod log's register", func(t transport.TPM) error {
		banks, err := activeBanks(t)
		if err != nil {
			return err
		}
		var digests []tpm2.TPMTHA
		for _, bank := range banks {
			d := tpm2.TPMTHA{HashAlg: bank}
			switch bank {
			case tpm2.TPMAlgSHA256:
				d.Digest = sha256[:]
			case tpm2.TPMAlgSHA384:
				d.Digest = sha384[:]
			default:
				hash, err := bank.Hash()
				if err != nil || !hash.Available() {
					return status.New(status.Unavailable, "tpm.bank", "the TPM has an active bank of algorithm 0x%04x, which this version cannot extend", uint16(bank)).
						WithHint("leave only the SHA-256 and SHA-384 banks active in the firmware's setup")
				}
				h := hash.New()
				h.Write(sha384[:])
				d.Digest = h.Sum(nil)
			}
			digests = append(digests, d)
		}
		_, err = tpm2.PCRExtend{
			PCRHandle: tpm2.AuthHandle{Handle: podLogPCR, Auth: tpm2.PasswordAuth(nil)},
			Digests:   tpm2.TPMLDigestValues{Digests: digests},
		}.Execute(t)
		return err
	})
}

// Values returns the register in both banks, 32 and 48 bytes; nil for SHA-384
// where that bank is not active.
func (r *Register) Values(ctx context.Context) (sha256, sha384 []byte, err error) {
	err = r.d.do(ctx, "reading the pod log's register", func(t transport.TPM) error {
		banks, err := activeBanks(t)
		if err != nil {
			return err
		}
		for _, bank := range banks {
			switch bank {
			case tpm2.TPMAlgSHA256:
				sha256, err = readRegister(t, bank)
			case tpm2.TPMAlgSHA384:
				sha384, err = readRegister(t, bank)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return sha256, sha384, err
}

// activeBanks lists the hashes in whose banks the register exists (TPM 2.0 Part
// 2, 6.12, TPM_CAP_PCRS). SHA-256 must be one of them: quotes cover it alone.
func activeBanks(t transport.TPM) ([]tpm2.TPMIAlgHash, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: maxBanks}.Execute(t)
	if err != nil {
		return nil, err
	}
	list, err := r.CapabilityData.Data.AssignedPCR()
	if err != nil {
		return nil, err
	}
	var banks []tpm2.TPMIAlgHash
	usable := false
	for _, s := range list.PCRSelections {
		if len(s.PCRSelect) > podLogPCR/8 && s.PCRSelect[podLogPCR/8]&(1<<(podLogPCR%8)) != 0 {
			banks = append(banks, s.Hash)
			usable = usable || s.Hash == tpm2.TPMAlgSHA256
		}
	}
	if !usable {
		return nil, status.New(status.Unavailable, "tpm.no_sha256_bank", "the TPM has no register %d in a SHA-256 bank", podLogPCR).
			WithHint("enable the SHA-256 bank in the firmware's setup")
	}
	return banks, nil
}

func readRegister(t transport.TPM, bank tpm2.TPMIAlgHash) ([]byte, error) {
	r, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: bank, PCRSelect: tpm2.PCClientCompatible.PCRs(podLogPCR),
	}}}}.Execute(t)
	if err != nil {
		return nil, err
	}
	if len(r.PCRValues.Digests) != 1 {
		return nil, fmt.Errorf("the TPM returned %d values of one register", len(r.PCRValues.Digests))
	}
	return r.PCRValues.Digests[0].Buffer, nil
}
