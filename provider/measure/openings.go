package measure

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"apocryph/attest/podlog"
	"apocryph/provider"
)

const (
	openingsTag = "apocryph/measure/1/opening\x00"
	lengthSize  = 4
	headerSize  = lengthSize + 8
	// maxPodID is in bytes: the encoding has one byte for it.
	maxPodID = 64
	// maxSealed bounds one frame's body: nonce, pod, opening and tag.
	maxSealed = 12 + 1 + maxPodID + podlog.MaxOpening + 16
	// maxOpenings bounds the file, in bytes: a full log of events of 1 KiB, which
	// is twice what a common one has.
	maxOpenings = 1 << 30
)

// openings is the encrypted file of what records are about. A frame is
//
//	len (u32) || seq (u64) || nonce (12) || AES-256-GCM(u8 len || pod || opening)
//
// with "apocryph/measure/1/opening\0" || boot epoch || seq as additional data, so
// that no opening serves another boot or another record. len counts from the
// nonce on. seq is that of the record which was to follow: of two with one
// number, the commitment tells which is meant.
type openings struct {
	disk
	aead  cipher.AEAD
	epoch []byte
	// byPod says where the openings of a pod are.
	byPod map[provider.PodID][]place
}

type place struct {
	seq    uint64
	offset int64
	size   int
}

func newOpenings(f file, key, epoch []byte) (*openings, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("using the log's key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("using the log's key: %w", err)
	}
	return &openings{disk: disk{f: f}, aead: aead, epoch: epoch, byPod: map[provider.PodID][]place{}}, nil
}

func (o *openings) data(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(openingsTag), o.epoch...), seq)
}

// keep makes an opening durable and returns where it is. It counts once its
// record is in the journal, which is for [openings.note] to say.
func (o *openings) keep(pod provider.PodID, seq uint64, opening podlog.Opening) (place, error) {
	if len(pod) > maxPodID {
		return place{}, fmt.Errorf("a pod id of %d bytes", len(pod))
	}
	b, err := opening.Encode()
	if err != nil {
		return place{}, err
	}
	plain := append(append([]byte{byte(len(pod))}, pod...), b...)
	nonce := make([]byte, o.aead.NonceSize())
	_, _ = rand.Read(nonce) // crypto/rand.Read never returns an error (Go 1.24)
	sealed := o.aead.Seal(nonce, nonce, plain, o.data(seq))
	frame := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(len(sealed))), seq)
	frame = append(frame, sealed...)
	if o.size+int64(len(frame)) > maxOpenings {
		return place{}, unwritable(errors.New("the openings of this boot fill their file"))
	}
	at := place{seq: seq, offset: o.size + headerSize, size: len(sealed)}
	return at, o.append(frame, true)
}

func (o *openings) note(pod provider.PodID, at place) { o.byPod[pod] = append(o.byPod[pod], at) }

// read returns the opening at a place, and whose it is.
func (o *openings) read(at place) (provider.PodID, podlog.Opening, error) {
	sealed := make([]byte, at.size)
	if _, err := o.f.ReadAt(sealed, at.offset); err != nil {
		return "", podlog.Opening{}, fmt.Errorf("reading opening %d: %w", at.seq, err)
	}
	return o.open(sealed, at.seq)
}

var errDamaged = errors.New("the opening is damaged")

func (o *openings) open(sealed []byte, seq uint64) (provider.PodID, podlog.Opening, error) {
	n := o.aead.NonceSize()
	if len(sealed) < n {
		return "", podlog.Opening{}, errDamaged
	}
	plain, err := o.aead.Open(nil, sealed[:n], sealed[n:], o.data(seq))
	if err != nil || len(plain) < 1 || len(plain) < 1+int(plain[0]) {
		return "", podlog.Opening{}, errDamaged
	}
	opening, err := podlog.DecodeOpening(plain[1+int(plain[0]):])
	return provider.PodID(plain[1 : 1+int(plain[0])]), opening, err
}

// load finds the openings of the records and reports how many have none. What a
// crash left behind the last whole frame is cut off.
func (o *openings) load(records []podlog.Record) (missing int, err error) {
	missing = len(records)
	header, end := make([]byte, headerSize), int64(0)
	for {
		if _, err := o.f.ReadAt(header, end); err != nil {
			break
		}
		at := place{
			seq: binary.BigEndian.Uint64(header[lengthSize:]), offset: end + headerSize, size: int(binary.BigEndian.Uint32(header)),
		}
		if at.size > maxSealed {
			break
		}
		sealed := make([]byte, at.size)
		if _, err := o.f.ReadAt(sealed, at.offset); err != nil {
			break
		}
		end = at.offset + int64(at.size)
		if at.seq >= uint64(len(records)) {
			continue // its record was never written
		}
		pod, opening, err := o.open(sealed, at.seq)
		if err != nil {
			continue
		}
		// One whose record was lost had another one's number.
		if _, err := podlog.Open(records[at.seq], opening); err == nil {
			o.note(pod, at)
			missing--
		}
	}
	return missing, o.cut(end)
}
