package podlog

import (
	"encoding/binary"
	"fmt"
	"time"

	"apocryph/proto/status"
)

const (
	payloadVersion = 1
	// maxText bounds a text, in bytes: they end in terminals and logs.
	maxText = 256
	// maxTexts bounds a list of texts.
	maxTexts = 32
	// maxEpoch bounds a boot epoch, in bytes, as the claims do.
	maxEpoch = 64
	// maxMillis is the year 2100. Later times are nonsense and overflow further on.
	maxMillis = 4102444800000
	// MaxPayload bounds a payload, in bytes: an opening is decoded in memory, and
	// a larger one would let a provider take memory of its tenants. The longest
	// that the caps on fields allow has under 10 KiB.
	MaxPayload = 16 << 10
)

// coder writes an event's fields or reads them: one description serves both, so
// they cannot disagree. What is wrong is collected in both directions, so that
// nothing is written which would not be read.
type coder struct {
	buf     []byte
	reading bool
	// short is set where the input ended; the fields after it are not judged.
	short bool
	faults
}

func encodePayload(e Event) ([]byte, error) {
	c := coder{buf: []byte{payloadVersion, byte(kind(e.Type()))}}
	e.fields(&c)
	if len(c.faults) > 0 {
		return nil, status.Invalid(reasonEvent, "event "+string(e.Type()), c.faults)
	}
	return c.buf, nil
}

func decodePayload(t Type, b []byte) (Event, error) {
	if len(b) > MaxPayload {
		return nil, tooLarge("payload", len(b), MaxPayload)
	}
	k := kind(t)
	if k == 0 {
		return nil, status.New(status.InvalidArgument, reasonPayload, "payload: got an event of type %.32q, want a type of this version", string(t))
	}
	if len(b) < 2 || b[0] != payloadVersion || int(b[1]) != k {
		return nil, status.New(status.InvalidArgument, reasonPayload, "payload: got one that begins with %x, want %02x%02x for %s", b[:min(len(b), 2)], payloadVersion, k, t)
	}
	c := coder{buf: b[2:], reading: true}
	e := kinds[k-1].make()
	e.fields(&c)
	if c.short {
		c.add("payload", fmt.Sprintf("%d bytes", len(b)), "more")
	} else if len(c.buf) > 0 {
		c.add("payload", fmt.Sprintf("%d bytes too many", len(c.buf)), "none")
	}
	if len(c.faults) > 0 {
		return nil, status.Invalid(reasonPayload, "payload of "+string(t), c.faults)
	}
	return e, nil
}

// take returns the next n bytes of the input, nil where it is over.
func (c *coder) take(n int) []byte {
	if c.short || len(c.buf) < n {
		c.short = true
		return nil
	}
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

func (c *coder) number(field string, v *uint64) {
	if !c.reading {
		c.buf = binary.BigEndian.AppendUint64(c.buf, *v)
	} else if b := c.take(8); b != nil {
		*v = binary.BigEndian.Uint64(b)
	}
	// Revisions and counts begin at 1.
	if !c.short && *v == 0 {
		c.add(field, "0", "at least 1")
	}
}

// length is that of a text or a list; 0 where the input is over or it exceeds most.
func (c *coder) length(field string, n, least, most int) int {
	if !c.reading {
		c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(n))
	} else if b := c.take(4); b != nil {
		// On 32-bit machines the conversion may be negative, which is refused below.
		n = int(binary.BigEndian.Uint32(b))
	}
	if c.short {
		return 0
	}
	if n < least || n > most {
		c.add(field, fmt.Sprintf("a length of %d", n), fmt.Sprintf("%d to %d", least, most))
		// What follows cannot be told apart.
		c.short = c.reading
		return 0
	}
	return n
}

func (c *coder) bytes(field string, v *[]byte, most int) {
	n := c.length(field, len(*v), 1, most)
	if !c.reading {
		c.buf = append(c.buf, *v...)
	} else if b := c.take(n); b != nil {
		*v = append([]byte(nil), b...)
	}
}

func (c *coder) text(field string, v *string) {
	n := c.length(field, len(*v), 1, maxText)
	if !c.reading {
		c.buf = append(c.buf, *v...)
	} else if b := c.take(n); b != nil {
		*v = string(b)
	}
	// A terminal's control sequences could make a refusal look like something else.
	for i := range min(len(*v), maxText) {
		if (*v)[i] < ' ' || (*v)[i] > '~' {
			c.add(field, fmt.Sprintf("byte 0x%02x", (*v)[i]), "printable ASCII")
			return
		}
	}
}

func (c *coder) texts(field string, v *[]string) {
	n := c.length(field, len(*v), 0, maxTexts)
	if c.reading && n > 0 {
		*v = make([]string, n)
	}
	for i := range n {
		c.text(fmt.Sprintf("%s[%d]", field, i), &(*v)[i])
	}
}

func (c *coder) digest(field string, v *Digest) {
	if !c.reading {
		c.buf = append(c.buf, v[:]...)
	} else if b := c.take(len(v)); b != nil {
		*v = Digest(b)
	}
	// Zeros are a field that somebody forgot to set, never a hash.
	if !c.short && *v == (Digest{}) {
		c.add(field, "zeros", "a digest")
	}
}

func (c *coder) flag(field string, v *bool) {
	if !c.reading {
		c.buf = append(c.buf, map[bool]byte{true: 1}[*v])
	} else if b := c.take(1); b != nil {
		*v = b[0] == 1
		if b[0] > 1 {
			c.add(field, fmt.Sprint(b[0]), "0 or 1")
		}
	}
}

func (c *coder) time(field string, v *time.Time) {
	ms := uint64(0)
	if !c.reading {
		ms = uint64(v.UnixMilli())
		c.buf = binary.BigEndian.AppendUint64(c.buf, ms)
		if v.Nanosecond()%1e6 != 0 {
			c.add(field, "a part of a millisecond", "whole milliseconds")
		}
	} else if b := c.take(8); b != nil {
		ms = binary.BigEndian.Uint64(b)
	}
	if c.short {
		return
	}
	if ms == 0 || ms > maxMillis {
		c.add(field, fmt.Sprint(int64(ms)), "Unix milliseconds before the year 2100")
	} else if c.reading {
		*v = time.UnixMilli(int64(ms)).UTC()
	}
}
