package verify

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// someQuote is a TPMS_ATTEST of a quote over two banks, and signedWith makes a
// TPMT_SIGNATURE, both written by the library.
func someQuote() []byte {
	return tpm2.Marshal(tpm2.TPMSAttest{
		Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestQuote,
		QualifiedSigner: tpm2.TPM2BName{Buffer: bytes.Repeat([]byte{1}, 34)},
		ExtraData:       tpm2.TPM2BData{Buffer: bytes.Repeat([]byte{2}, 32)},
		ClockInfo:       tpm2.TPMSClockInfo{Clock: 3, ResetCount: 4, RestartCount: 5, Safe: true},
		FirmwareVersion: 6,
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{
			PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
				{Hash: tpm2.TPMAlgSHA256, PCRSelect: []byte{1, 2, 3}}, {Hash: tpm2.TPMAlgSHA384, PCRSelect: []byte{0, 0, 0}},
			}},
			PCRDigest: tpm2.TPM2BDigest{Buffer: bytes.Repeat([]byte{7}, 32)},
		}),
	})
}

func signedWith(scheme tpm2.TPMAlgID, hash tpm2.TPMAlgID) []byte {
	return tpm2.Marshal(tpm2.TPMTSignature{
		SigAlg: scheme,
		Signature: tpm2.NewTPMUSignature(scheme, &tpm2.TPMSSignatureECC{
			Hash: hash, SignatureR: tpm2.TPM2BECCParameter{Buffer: bytes.Repeat([]byte{8}, 32)}, SignatureS: tpm2.TPM2BECCParameter{Buffer: []byte{0, 9}},
		}),
	})
}

func TestParseQuoted(t *testing.T) {
	q, err := parseQuoted(someQuote())
	if err != nil {
		t.Fatal(err)
	}
	if q.resets != 4 || q.restarts != 5 || len(q.extraData) != 32 || q.extraData[0] != 2 || len(q.pcrHash) != 32 || q.pcrHash[0] != 7 ||
		len(q.selections) != 2 || q.selections[0].hash != tpmSHA256 || !bytes.Equal(q.selections[0].bits, []byte{1, 2, 3}) {
		t.Errorf("got %+v", q)
	}
	r, s, err := parseECDSA(signedWith(tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256))
	if err != nil || r.BitLen() != 252 || s.Int64() != 9 {
		t.Errorf("got %v, %v, %v", r, s, err)
	}
	for name, b := range map[string][]byte{
		"another scheme": signedWith(tpm2.TPMAlgECDAA, tpm2.TPMAlgSHA256), "another hash": signedWith(tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA1),
		"nothing": nil, "a byte more": append(signedWith(tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256), 0),
		"no second number": signedWith(tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256)[:38],
	} {
		if r, s, err := parseECDSA(b); err == nil {
			t.Errorf("%s: got %v, %v", name, r, s)
		}
	}
	whole := someQuote()
	for n := range whole {
		if q, err := parseQuoted(whole[:n]); err == nil {
			t.Errorf("%d bytes: got %+v", n, q)
		}
	}
	// A count that would have the rest read four billion times.
	many := bytes.Clone(whole)
	copy(many[bytes.LastIndex(many, []byte{0, 0, 0, 2}):], []byte{0xff, 0xff, 0xff, 0xff})
	if _, err := parseQuoted(many); err == nil {
		t.Error("accepted")
	}
}

// FuzzQuoted holds the parsers against the library's: what they accept it reads
// in the same way and writes again to the byte.
func FuzzQuoted(f *testing.F) {
	f.Add(someQuote(), signedWith(tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256))
	f.Add([]byte{0xff, 'T', 'C', 'G', 0x80, 0x18}, []byte{0, 0x18, 0, 0x0b})
	f.Add([]byte{}, []byte{})
	for i := range len(someQuote()) {
		b := someQuote()
		b[i] ^= 1
		f.Add(b, signedWith(tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256))
	}
	f.Fuzz(func(t *testing.T, raw, sig []byte) {
		got, err := parseQuoted(raw)
		lib, libErr := tpm2.Unmarshal[tpm2.TPMSAttest](raw)
		canonical := libErr == nil && lib.Magic == tpm2.TPMGeneratedValue && lib.Type == tpm2.TPMSTAttestQuote && bytes.Equal(tpm2.Marshal(*lib), raw)
		if err == nil {
			if !canonical {
				t.Fatalf("accepted what the library does not: %v", libErr)
			}
			info, err := lib.Attested.Quote()
			if err != nil {
				t.Fatal(err)
			}
			same := bytes.Equal(got.extraData, lib.ExtraData.Buffer) && got.resets == lib.ClockInfo.ResetCount && got.restarts == lib.ClockInfo.RestartCount &&
				bytes.Equal(got.pcrHash, info.PCRDigest.Buffer) && len(got.selections) == len(info.PCRSelect.PCRSelections)
			for i := 0; same && i < len(got.selections); i++ {
				x := info.PCRSelect.PCRSelections[i]
				same = got.selections[i].hash == uint16(x.Hash) && bytes.Equal(got.selections[i].bits, x.PCRSelect)
			}
			if !same {
				t.Errorf("got %+v, the library %+v", got, lib)
			}
		} else if canonical {
			if info, err := lib.Attested.Quote(); err != nil || len(info.PCRSelect.PCRSelections) <= maxBanks {
				t.Errorf("refused what the library accepts: %+v", lib)
			}
		}
		r, s, err := parseECDSA(sig)
		if err != nil {
			return
		}
		ls, err := tpm2.Unmarshal[tpm2.TPMTSignature](sig)
		if err != nil || !bytes.Equal(tpm2.Marshal(*ls), sig) {
			t.Fatalf("accepted a signature that the library does not: %v", err)
		}
		ec, err := ls.Signature.ECDSA()
		if err != nil || !bytes.Equal(r.Bytes(), bytes.TrimLeft(ec.SignatureR.Buffer, "\x00")) || !bytes.Equal(s.Bytes(), bytes.TrimLeft(ec.SignatureS.Buffer, "\x00")) {
			t.Errorf("got %v, %v, the library %+v", r, s, ec)
		}
	})
}
