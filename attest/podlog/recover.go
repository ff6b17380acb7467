package podlog

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"apocryph/proto/status"
)

// ReadJournal reads a write-ahead file. A last frame that a crash cut short is
// dropped: intact is the length in bytes of what precedes it, to which the file
// has to be truncated before anything is appended. Any other damage, and another
// key, is internal "podlog.journal": such a log cannot be continued, and a new
// one only begins when the machine boots.
func ReadJournal(b, key []byte) (j Journal, records []Record, intact int, err error) {
	if len(b) > MaxJournal {
		return Journal{}, nil, 0, tooLarge("journal", len(b), MaxJournal)
	}
	j, n, err := readHeader(b, key)
	if err != nil {
		return Journal{}, nil, 0, err
	}
	for intact = n; intact < len(b); intact += n {
		rest := b[intact:]
		body, n1, ferr := j.cut(rest, false)
		if ferr != nil {
			return Journal{}, nil, 0, damaged(intact, ferr)
		}
		if n = n1; n == 0 {
			return j, records, intact, nil
		}
		// Appending the same again must give the same bytes: that checks the tag,
		// the sequence and the order of records and marks at once.
		next, again := j, []byte(nil)
		if rest[4] == frameRecord {
			var r Record
			if r, err = DecodeRecord(body); err == nil {
				next, again, err = j.Record(r)
			}
			records = append(records, r)
		} else {
			next, again, err = j.Mark()
		}
		if err == nil && !hmac.Equal(again, rest[:n]) {
			err = fmt.Errorf("its bytes are not those that were written")
		}
		if err != nil {
			return Journal{}, nil, 0, damaged(intact, err)
		}
		j = next
	}
	return j, records, intact, nil
}

func readHeader(b, key []byte) (Journal, int, error) {
	j := Journal{key: bytes.Clone(key)}
	body, n, err := j.cut(b, true)
	if err == nil && n == 0 {
		// The file is renamed into its place, so its header is never torn.
		err = fmt.Errorf("got %d bytes, want a header", len(b))
	}
	if err != nil {
		return Journal{}, 0, damaged(0, err)
	}
	size := len(body) - headerSize
	if binary.BigEndian.Uint32(body) != uint32(size) {
		return Journal{}, 0, damaged(0, fmt.Errorf("the header's lengths disagree"))
	}
	epoch, values := body[4:4+size], body[4+size:]
	j, again, err := NewJournal(Boot{Epoch: epoch, SHA256: values[:32], SHA384: values[32:]}, key)
	if err == nil && !hmac.Equal(again, b[:n]) {
		err = fmt.Errorf("its bytes are not those that were written")
	}
	if err != nil {
		return Journal{}, 0, damaged(0, err)
	}
	return j, n, nil
}

// cut returns the body and the length of the first frame, 0 where the rest is
// the beginning of one.
func (j Journal) cut(b []byte, header bool) ([]byte, int, error) {
	if len(b) < frameHead {
		return nil, 0, nil
	}
	size, k := int(binary.BigEndian.Uint32(b)), b[4]
	ok := false
	switch k {
	case frameHeader:
		ok = header && size > headerSize && size <= headerSize+maxEpoch
	case frameRecord:
		ok = !header && size >= recordSize+minType && size <= MaxRecord
		// The body says its length again: a changed one must not look like a short write.
		if body := b[frameHead:]; ok && len(body) >= 12 {
			ok = int(binary.BigEndian.Uint32(body[8:]))+recordSize == size
		}
	case frameMark:
		ok = !header && size == markSize
	}
	if !ok {
		return nil, 0, fmt.Errorf("got a frame of kind %q with %d bytes", k, uint32(size))
	}
	n := frameHead + size + tagSize
	if len(b) < n {
		return nil, 0, nil
	}
	return b[frameHead : frameHead+size], n, nil
}

func damaged(at int, cause error) error {
	return status.Wrap(cause, status.Internal, reasonJournal, "the pod log's write-ahead file is damaged at byte %d", at)
}

// Plan is what has to be done before a journal can go on.
type Plan struct {
	// Extend is the one record that the register does not have yet; nil for none.
	Extend *Record
	// Mark: the pending record has to be marked, after it was extended.
	Mark bool
}

// Reconcile compares a journal with the register as it is now, after a crash. The
// register decides: only a record that it provably lacks is extended, so nothing
// is ever extended twice. What it cannot explain is refused, and then the log
// must not go on: unavailable "podlog.epoch" for a journal of another boot, after
// which a new one begins; untrusted "podlog.register" for a register that is
// behind, ahead, or was extended by something else.
func (j Journal) Reconcile(now Boot) (Plan, error) {
	if err := now.check(); err != nil {
		return Plan{}, err
	}
	if !bytes.Equal(now.Epoch, j.Epoch) {
		return Plan{}, status.New(status.Unavailable, reasonEpoch, "the pod log is of another boot of this machine")
	}
	if now.is(j.Head) {
		_, pending := j.Pending()
		return Plan{Mark: pending}, nil
	}
	if p, ok := j.Pending(); ok && now.is(j.Extended) {
		return Plan{Extend: &p, Mark: true}, nil
	}
	var f faults
	for _, x := range []struct {
		bank      Bank
		got, want []byte
	}{{SHA256, now.SHA256, j.Head.SHA256[:]}, {SHA384, now.SHA384, j.Head.SHA384[:]}} {
		if x.got != nil && !bytes.Equal(x.got, x.want) {
			f.add("register."+string(x.bank), hex.EncodeToString(x.got[:min(len(x.got), 64)]), hex.EncodeToString(x.want))
		}
	}
	what := fmt.Sprintf("the register is not what the %d records of the pod log make of it", j.Head.Length)
	if now.is(j.Init) {
		what = "the register was reset, and the pod log is of this boot"
	}
	return Plan{}, untrusted(reasonRegister, what, f).
		WithHint("other software extended the register, or the pod log's file was changed: boot the machine to begin a new log")
}

// is reports whether every active bank has the head's value.
func (b Boot) is(h Head) bool {
	return (b.SHA256 == nil || bytes.Equal(b.SHA256, h.SHA256[:])) && (b.SHA384 == nil || bytes.Equal(b.SHA384, h.SHA384[:])) &&
		(b.SHA256 != nil || b.SHA384 != nil)
}
