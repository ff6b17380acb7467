package p384_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"math/big"
	"testing"

	circl "github.com/cloudflare/circl/ecc/p384"

	"apocryph/attest/verify/p384"
)

var (
	params = elliptic.P384().Params()
	one    = big.NewInt(1)
)

func newKey(t testing.TB, pub *ecdsa.PublicKey) p384.Key {
	t.Helper()
	k, err := p384.NewKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// point is d times the generator.
func point(d *big.Int) *ecdsa.PublicKey {
	x, y := circl.P384().ScalarBaseMult(new(big.Int).Mod(d, params.N).Bytes())
	return &ecdsa.PublicKey{Curve: elliptic.P384(), X: x, Y: y}
}

func coordinates(t testing.TB, pub *ecdsa.PublicKey) (x, y *big.Int) {
	t.Helper()
	raw, err := pub.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(raw[1:49]), new(big.Int).SetBytes(raw[49:])
}

// both verifies in both ways and demands one answer.
func both(t testing.TB, pub *ecdsa.PublicKey, digest [48]byte, r, s *big.Int) bool {
	t.Helper()
	got, want := newKey(t, pub).Verify(digest, r, s), ecdsa.Verify(pub, digest[:], r, s)
	if got != want {
		t.Errorf("got %v, crypto/ecdsa says %v: key %v, digest %x, r %x, s %x", got, want, pub, digest, r, s)
	}
	return got
}

func signed(t testing.TB) (*ecdsa.PublicKey, [48]byte, *big.Int, *big.Int) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum384([]byte("a report"))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey, digest, r, s
}

func TestBounds(t *testing.T) {
	pub, digest, r, s := signed(t)
	k, n := newKey(t, pub), params.N
	if !k.Verify(digest, r, s) {
		t.Fatal("a good signature is refused")
	}
	// The other s is as good: nothing here depends on there being one signature.
	if !both(t, pub, digest, r, new(big.Int).Sub(n, s)) {
		t.Error("n-s is refused")
	}
	plus := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	minus := func(a *big.Int) *big.Int { return new(big.Int).Neg(a) }
	big2 := new(big.Int).Lsh(one, 384)
	for name, v := range map[string][2]*big.Int{
		"r = 0": {new(big.Int), s}, "s = 0": {r, new(big.Int)}, "both 0": {new(big.Int), new(big.Int)},
		"r = n": {n, s}, "s = n": {r, n}, "both n": {n, n}, "r + n": {plus(r, n), s}, "s + n": {r, plus(s, n)},
		"-r": {minus(r), s}, "-s": {r, minus(s)}, "r - n": {plus(r, minus(n)), s}, "s - n": {r, plus(s, minus(n))},
		"r = p": {params.P, s}, "r + p": {plus(r, params.P), s}, "r + 2^384": {plus(r, big2), s}, "s + 2^384": {r, plus(s, big2)},
		"exchanged": {s, r}, "1, 1": {one, one}, "r = 1": {one, s}, "s = 1": {r, one}, "n-1": {plus(n, big.NewInt(-1)), plus(n, big.NewInt(-1))},
		"-1": {minus(one), minus(one)}, "n+1": {plus(n, one), plus(n, one)},
	} {
		if both(t, pub, digest, v[0], v[1]) {
			t.Errorf("%s is accepted", name)
		}
	}
	if k.Verify(digest, nil, s) || k.Verify(digest, r, nil) || (p384.Key{}).Verify(digest, r, s) {
		t.Error("nothing is accepted")
	}
}

func TestEveryBit(t *testing.T) {
	pub, digest, r, s := signed(t)
	k := newKey(t, pub)
	for i := range 384 {
		flip := func(v *big.Int) *big.Int { return new(big.Int).SetBit(v, i, 1-v.Bit(i)) }
		if k.Verify(digest, flip(r), s) || k.Verify(digest, r, flip(s)) {
			t.Errorf("bit %d of the signature does not count", i)
		}
		other := digest
		other[i/8] ^= 1 << (i % 8)
		if k.Verify(other, r, s) {
			t.Errorf("bit %d of the digest does not count", i)
		}
	}
}

// TestExceptions has sums that meet points which addition treats apart: the
// generator or its negative as key, and small or opposite scalars.
func TestExceptions(t *testing.T) {
	n := params.N
	small := []int64{1, 2, 3, 5, 8, 15, 16, 31, 33, 64, 127}
	var scalars []*big.Int
	for _, v := range small {
		scalars = append(scalars, big.NewInt(v), new(big.Int).Sub(n, big.NewInt(v)))
	}
	accepted := 0
	for _, d := range []*big.Int{one, big.NewInt(2), big.NewInt(3), big.NewInt(5), new(big.Int).Sub(n, one), new(big.Int).Sub(n, big.NewInt(2)), new(big.Int).Rsh(n, 1)} {
		pub := point(d)
		for i, u1 := range append(scalars, new(big.Int)) {
			for j, u2 := range scalars {
				if (i+j)%5 != 0 && i != j && i != j^1 {
					continue
				}
				// r is the sum's x coordinate, and s and the digest follow from it.
				sum := new(big.Int).Mul(u2, d)
				sum.Add(sum, u1).Mod(sum, n)
				r := new(big.Int).Set(one)
				if sum.Sign() != 0 {
					x, _ := coordinates(t, point(sum))
					r = x.Mod(x, n)
				}
				s := new(big.Int).ModInverse(u2, n)
				s.Mul(s, r).Mod(s, n)
				e := new(big.Int).Mul(u1, s)
				var digest [48]byte
				e.Mod(e, n).FillBytes(digest[:])
				got := both(t, pub, digest, r, s)
				if got != (sum.Sign() != 0) {
					t.Errorf("key %x, scalars %x and %x: got %v", d, u1, u2, got)
				}
				if got {
					accepted++
				}
			}
		}
	}
	if accepted < 100 {
		t.Errorf("%d were accepted", accepted)
	}
}

// TestAboveOrder has a sum whose x coordinate is above n, where r is what is
// left of it. Chance never makes one.
func TestAboveOrder(t *testing.T) {
	x, y := new(big.Int).Set(params.N), (*big.Int)(nil)
	for y == nil {
		x.Add(x, one)
		rhs := new(big.Int).Exp(x, big.NewInt(3), params.P)
		rhs.Sub(rhs, new(big.Int).Mul(big.NewInt(3), x)).Add(rhs, params.B)
		y = new(big.Int).ModSqrt(rhs.Mod(rhs, params.P), params.P)
	}
	r, s := new(big.Int).Sub(x, params.N), big.NewInt(7)
	digest := sha512.Sum384([]byte("a report"))
	e := new(big.Int).SetBytes(digest[:])
	// The key for which this is a signature: (s R - e G) / r.
	c, inverse := circl.P384(), new(big.Int).ModInverse(r, params.N)
	x1, y1 := c.ScalarMult(x, y, s.Bytes())
	x2, y2 := c.ScalarBaseMult(e.Sub(params.N, e.Mod(e, params.N)).Bytes())
	x1, y1 = c.Add(x1, y1, x2, y2)
	x1, y1 = c.ScalarMult(x1, y1, inverse.Bytes())
	pub := &ecdsa.PublicKey{Curve: elliptic.P384(), X: x1, Y: y1}
	if !both(t, pub, digest, r, s) {
		t.Error("x - n is refused")
	}
	for name, v := range map[string]*big.Int{"x": x, "x - n + 1": new(big.Int).Add(r, one)} {
		if both(t, pub, digest, v, s) {
			t.Errorf("r = %s is accepted", name)
		}
	}
}

// TestDigests has digests that are no less than n, and none.
func TestDigests(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*big.Int{new(big.Int), one, params.N, new(big.Int).Add(params.N, one), params.P, new(big.Int).Sub(new(big.Int).Lsh(one, 384), one)} {
		var digest [48]byte
		e.FillBytes(digest[:])
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if !both(t, &key.PublicKey, digest, r, s) {
			t.Errorf("digest %x is refused", e)
		}
	}
}

func TestKeys(t *testing.T) {
	pub, _, _, _ := signed(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, curve := params.P, elliptic.P384()
	x, y := coordinates(t, pub)
	x2, y2 := coordinates(t, &other.PublicKey)
	for name, key := range map[string]*ecdsa.PublicKey{
		"nothing": nil, "empty": {}, "another curve": &other.PublicKey,
		"infinity": {Curve: curve, X: new(big.Int), Y: new(big.Int)}, "off the curve": {Curve: curve, X: x, Y: new(big.Int).Add(y, one)},
		"x + p": {Curve: curve, X: new(big.Int).Add(x, p), Y: y}, "y - p": {Curve: curve, X: x, Y: new(big.Int).Sub(y, p)},
		"another curve's point": {Curve: curve, X: x2, Y: y2},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("panic: %v", r)
				}
			}()
			if _, err := p384.NewKey(key); err == nil {
				t.Error("it is a key")
			}
		})
	}
}

// FuzzVerify holds the verdict against crypto/ecdsa: of any numbers, and of a
// real signature with them on top.
func FuzzVerify(f *testing.F) {
	f.Add([]byte{1}, []byte("digest"), []byte{1}, []byte{1})
	f.Add([]byte{2}, []byte{}, []byte{}, []byte{})
	f.Add(params.N.Bytes(), params.N.Bytes(), params.N.Bytes(), params.P.Bytes())
	f.Fuzz(func(t *testing.T, secret, text, dr, ds []byte) {
		d := new(big.Int).SetBytes(secret[:min(len(secret), 64)])
		if d.Mod(d, params.N).Sign() == 0 {
			d.Set(one)
		}
		var raw [48]byte
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), d.FillBytes(raw[:]))
		if err != nil {
			t.Fatal(err)
		}
		// Not hashed: the fuzzer may choose it.
		var digest [48]byte
		copy(digest[:], text)
		number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b[:min(len(b), 64)]) }
		both(t, &key.PublicKey, digest, number(dr), number(ds))
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if !both(t, &key.PublicKey, digest, r, s) {
			t.Fatal("a good signature is refused")
		}
		both(t, &key.PublicKey, digest, r.Xor(r, number(dr)), s.Xor(s, number(ds)))
	})
}

func BenchmarkVerify(b *testing.B) {
	pub, digest, r, s := signed(b)
	k := newKey(b, pub)
	b.Run("p384", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.Verify(digest, r, s)
		}
	})
	b.Run("ecdsa", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ecdsa.Verify(pub, digest[:], r, s)
		}
	})
}
