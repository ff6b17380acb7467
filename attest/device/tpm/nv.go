package tpm

import (
	"encoding/asn1"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const (
	// nvChunk is in bytes: every TPM reads at least that much at once.
	nvChunk = 512
	// maxNV bounds what is read of one index, in bytes.
	maxNV = 8 << 10
	// firstChainIndex to lastChainIndex hold the certificates above the
	// endorsement keys' own (EK Credential Profile 2.2.1.5.2).
	firstChainIndex = 0x01c00100
	lastChainIndex  = 0x01c001ff
)

// readNV reads a whole index with its own, empty authorisation.
func readNV(t transport.TPM, index tpm2.TPMHandle) ([]byte, error) {
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(t)
	if err != nil {
		return nil, err
	}
	public, err := r.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	if public.DataSize > maxNV {
		return nil, fmt.Errorf("an index of %d bytes", public.DataSize)
	}
	var out []byte
	for len(out) < int(public.DataSize) {
		n := min(nvChunk, int(public.DataSize)-len(out))
		chunk, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: index, Name: r.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: index, Name: r.NVName},
			Size:       uint16(n), Offset: uint16(len(out)),
		}.Execute(t)
		if err != nil {
			return nil, err
		}
		if len(chunk.Data.Buffer) != n {
			return nil, fmt.Errorf("read %d bytes, want %d", len(chunk.Data.Buffer), n)
		}
		out = append(out, chunk.Data.Buffer...)
	}
	return out, nil
}

// readChain reads the manufacturer's certificates above the endorsement keys',
// which some TPMs keep: one after the other, spread over several indices.
func readChain(t transport.TPM) ([][]byte, error) {
	handles, err := listHandles(t, firstChainIndex)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, h := range handles {
		if h > lastChainIndex {
			break
		}
		part, err := readNV(t, h)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return splitDER(all), nil
}

// splitDER cuts concatenated DER values apart. What follows the last one is
// padding: some manufacturers fill their indices up.
func splitDER(b []byte) [][]byte {
	var out [][]byte
	for len(b) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(b, &v)
		if err != nil || v.Tag != asn1.TagSequence {
			break
		}
		out = append(out, v.FullBytes)
		b = rest
	}
	return out
}
