package source

import (
	"hash/crc32"
	"math"
	"unicode/utf8"
)

// zipExtras reads the extra fields that change what an entry is: 0001 is
// zip64, 7075 the name in Unicode, 9901 AES.
func (p *part) zipExtras(e *zipEntry, b []byte) error {
	for len(b) >= 4 {
		id, n := le.Uint16(b), int(le.Uint16(b[2:]))
		if n > len(b)-4 {
			break
		}
		field := b[4 : 4+n]
		b = b[4+n:]
		switch id {
		case 0x0001:
			for _, v := range []*int64{&e.size, &e.packed, &e.offset} {
				if *v != math.MaxUint32 {
					continue
				}
				if len(field) < 8 || le.Uint64(field) > math.MaxInt64 {
					return p.zipDamaged(e.name, "a damaged zip64 field")
				}
				*v, field = int64(le.Uint64(field)), field[8:]
			}
		case 0x7075:
			if err := p.unicodeName(e, field); err != nil {
				return err
			}
		case 0x9901:
			return p.refuse(ReasonUnsupported, e.name, "an encrypted entry", "one that anybody can read")
		}
	}
	return nil
}

// unicodeName takes the name of the extra field 7075 (4.6.9) where the plain
// one is in an old code page. Two readable names that differ are a trap.
func (p *part) unicodeName(e *zipEntry, field []byte) error {
	const want = "one name"
	if len(field) < 5 || field[0] != 1 || le.Uint32(field[1:]) != crc32.ChecksumIEEE([]byte(e.raw)) {
		return p.unsafe(e.raw, "a Unicode name for another name", want)
	}
	name := string(field[5:])
	if utf8.ValidString(e.raw) && name != e.raw {
		return p.unsafe(e.raw, "a second name "+quote(name), want)
	}
	e.name = name
	return nil
}
