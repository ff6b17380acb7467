package bootlog

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// header reads the table of algorithms.
func header(b []byte) ([]algorithm, error) {
	// platformClass, specVersionMinor, specVersionMajor, specErrata, uintnSize, numberOfAlgorithms.
	const fixed = 4 + 1 + 1 + 1 + 1 + 4
	if len(b) < fixed {
		return nil, fmt.Errorf("a header of %d bytes", len(specID)+len(b))
	}
	if minor, major := b[4], b[5]; major != 2 || minor != 0 {
		return nil, fmt.Errorf("version %d.%d of the log's form, want 2.0", major, minor)
	}
	n := binary.LittleEndian.Uint32(b[8:])
	b = b[fixed:]
	if n == 0 || n > maxBanks {
		return nil, fmt.Errorf("%d digest algorithms, want 1 to %d", n, maxBanks)
	}
	if len(b) < int(n)*4+1 {
		return nil, fmt.Errorf("the header ends within its algorithms")
	}
	var algs []algorithm
	for range n {
		a := algorithm{id: binary.LittleEndian.Uint16(b), size: int(binary.LittleEndian.Uint16(b[2:]))}
		b = b[4:]
		if slices.ContainsFunc(algs, func(o algorithm) bool { return o.id == a.id }) {
			return nil, fmt.Errorf("algorithm 0x%04x twice", a.id)
		}
		want := maxDigest
		if k, ok := bankByID(a.id); ok {
			a.name, want = k.name, k.hash.Size()
			if a.size != want {
				return nil, fmt.Errorf("%s digests of %d bytes, want %d", a.name, a.size, want)
			}
		} else {
			a.name = fmt.Sprintf("alg-0x%04x", a.id)
		}
		if a.size == 0 || a.size > want {
			return nil, fmt.Errorf("%s digests of %d bytes, want 1 to %d", a.name, a.size, want)
		}
		algs = append(algs, a)
	}
	if vendor := int(b[0]); vendor != len(b)-1 {
		return nil, fmt.Errorf("%d bytes of vendor information, want %d", len(b)-1, vendor)
	}
	return algs, nil
}

// legacy reads a TCG_PCR_EVENT (PFP 1.06, 10.2.1).
func (p *parser) legacy() (Event, error) {
	head, err := p.take(legacyHead)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Register: int(binary.LittleEndian.Uint32(head)),
		Type:     Type(binary.LittleEndian.Uint32(head[4:])),
		Digests:  []Digest{{Bank: "sha1", Value: head[8:28:28]}},
	}
	e.Data, err = p.data(binary.LittleEndian.Uint32(head[28:]))
	return e, err
}

// agile reads a TCG_PCR_EVENT2 (PFP 1.06, 10.2.2). Each algorithm of the header
// must be there once: of two digests nobody could say which one counts.
func (p *parser) agile() (Event, error) {
	head, err := p.take(12)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Register: int(binary.LittleEndian.Uint32(head)),
		Type:     Type(binary.LittleEndian.Uint32(head[4:])),
	}
	if n := binary.LittleEndian.Uint32(head[8:]); n != uint32(len(p.algs)) {
		return Event{}, fmt.Errorf("%d digests, want %d", n, len(p.algs))
	}
	e.Digests = make([]Digest, 0, len(p.algs))
	for range p.algs {
		id, err := p.take(2)
		if err != nil {
			return Event{}, err
		}
		i := slices.IndexFunc(p.algs, func(a algorithm) bool { return a.id == binary.LittleEndian.Uint16(id) })
		if i < 0 {
			return Event{}, fmt.Errorf("algorithm 0x%04x is not one of the header", binary.LittleEndian.Uint16(id))
		}
		if e.digest(p.algs[i].name) != nil {
			return Event{}, fmt.Errorf("two %s digests", p.algs[i].name)
		}
		v, err := p.take(p.algs[i].size)
		if err != nil {
			return Event{}, err
		}
		e.Digests = append(e.Digests, Digest{Bank: p.algs[i].name, Value: v})
	}
	size, err := p.take(4)
	if err != nil {
		return Event{}, err
	}
	e.Data, err = p.data(binary.LittleEndian.Uint32(size))
	return e, err
}

func (p *parser) data(n uint32) ([]byte, error) {
	if uint64(n) > uint64(len(p.rest)) {
		return nil, fmt.Errorf("an event with %d bytes of data, %d are left", n, len(p.rest))
	}
	return p.take(int(n))
}

func (p *parser) take(n int) ([]byte, error) {
	if n > len(p.rest) {
		return nil, fmt.Errorf("%d bytes are left, want %d", len(p.rest), n)
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b, nil
}
